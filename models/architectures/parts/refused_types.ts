/** Kinds of models that are known and not taken, by what they need, and the types that the hub and GGUF files give them. */
const refusedTypes = [
  {
    needs: 'linear attention',
    types: [
      ...[
        'qwen3_5',
        'qwen3_5_text',
        'qwen3_5_moe',
        'qwen3_next',
        'kimi_linear',
        'minimax',
        'olmo_hybrid',
        'bailing_hybrid',
      ],
      ...['qwen35', 'qwen35moe', 'qwen3next', 'kimi-linear', 'minimax-01'],
    ],
  },
  {
    needs: 'recurrent layers (state spaces, RWKV)',
    types: [
      ...[
        'mamba',
        'mamba2',
        'falcon_mamba',
        'falcon_h1',
        'bamba',
        'jamba',
        'zamba',
        'zamba2',
        'nemotron_h',
        'granitemoehybrid',
      ],
      ...['recurrent_gemma', 'rwkv', 'rwkv6', 'rwkv7', 'xlstm', 'falcon-h1', 'granitehybrid', 'plamo2'],
    ],
  },
  {needs: 'convolutions in place of attention', types: ['lfm2', 'lfm2_moe', 'lfm2moe']},
  {
    needs: 'a mixture of experts',
    types: [
      ...[
        'mixtral',
        'qwen2_moe',
        'qwen3_moe',
        'olmoe',
        'flex_olmo',
        'gpt_oss',
        'granitemoe',
        'granitemoeshared',
        'phimoe',
        'dbrx',
      ],
      ...[
        'deepseek_v2',
        'deepseek_v3',
        'deepseek_v32',
        'glm4_moe',
        'ernie4_5_moe',
        'llama4',
        'llama4_text',
        'minimax_m2',
        'hunyuan_v1_moe',
      ],
      ...[
        'qwen2moe',
        'qwen3moe',
        'gpt-oss',
        'granite-moe',
        'granitemoe',
        'deepseek2',
        'glm4moe',
        'ernie4_5-moe',
        'grok',
        'bailingmoe',
      ],
    ],
  },
  {
    needs: 'embeddings by layer and layers that share keys',
    types: ['gemma3n', 'gemma3n_text', 'gemma4', 'gemma4_text'],
  },
  {
    needs: 'parts for images or sound between its text',
    types: [
      ...['gemma3', 'mistral3'], // without a text_config
      'qwen2_vl',
      'qwen2_5_vl',
      'qwen3_vl',
      'llava',
      'idefics3',
      'smolvlm',
      'mllama',
      'phi4_multimodal',
    ],
  },
  {
    needs: 'an encoder',
    types: [
      't5',
      'mt5',
      'bart',
      'bert',
      'roberta',
      'distilbert',
      'modernbert',
      'whisper',
      'marian',
      'nomic-bert',
    ],
  },
] as const satisfies readonly {readonly needs: string; readonly types: readonly string[]}[];

/** What models of a type need that is not here; undefined if the type is not known. */
export function whatItNeeds(type: string): string | undefined {
  return refusedTypes.find(({types}) => (types as readonly string[]).includes(type))?.needs;
}
