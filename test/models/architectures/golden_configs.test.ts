import {expect} from 'chai';
import {ModelError} from '../../../base/errors.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {architectureOf, buildModel, configFromHub} from '../../../models/architectures/index.js';
import {distance, goldenJson, goldenModel, goldenModels, goldenOf} from './golden_models.js';
import {logitsOf} from './tiny_models.js';

describe('configs of every architecture', () => {
  const configOf = async (name: string) =>
    configFromHub(await goldenJson<Record<string, unknown>>(name, 'config.json'));

  it('come back from what is written of them', async () => {
    for (const name of goldenModels) {
      const config = await configOf(name);
      expect(configFromHub(architectureOf(config).toHub(config)), name).to.deep.equal(config);
    }
  });

  type Keys = Record<string, unknown>;
  const older: [name: string, change: Keys][] = [
    [
      'gemma3',
      {
        rope_parameters: undefined,
        ...{rope_theta: 1e5, rope_local_base_freq: 1000, rope_scaling: {rope_type: 'linear', factor: 4}},
        ...{layer_types: undefined, sliding_window_pattern: 6},
      },
    ],
    ['gemma', {hidden_act: 'gelu', hidden_activation: null, rope_parameters: undefined, rope_theta: 10000}],
    ['gemma2', {layer_types: undefined}],
    ['gpt_neox', {rope_parameters: undefined, rotary_pct: 0.5, rotary_emb_base: 10000}],
    ['phi', {rope_parameters: undefined, partial_rotary_factor: 0.5, rope_theta: 10000}],
    ['stablelm', {rope_parameters: undefined, partial_rotary_factor: null}],
    [
      'phi3',
      {
        rope_parameters: undefined,
        rope_scaling: {type: 'su', short_factor: [1, 1.05, 1.1], long_factor: [1, 1.5, 4]},
        partial_rotary_factor: 0.75,
      },
    ],
    ['qwen3_window', {layer_types: undefined}],
    ['smollm3', {no_rope_layers: undefined, layer_types: undefined}],
    ['bloom', {n_head: undefined, num_attention_heads: 4, hidden_size: undefined, n_embed: 24}],
  ];
  it('are read in their older spellings, too', async () => {
    for (const [name, change] of older) {
      const keys = {...(await goldenJson<Keys>(name, 'config.json')), ...change};
      expect(configFromHub(keys), name).to.deep.equal(await configOf(name));
    }
  });

  it('have the windows that are usual for their type, where files leave them out', async () => {
    const windowOf = async (name: string, change: Keys) => {
      const {window, windowed} = configFromHub({...(await goldenJson<Keys>(name, 'config.json')), ...change});
      return {window, windowed};
    };
    for (const name of ['gemma2', 'gemma3', 'olmo3', 'qwen3_window', 'mistral']) {
      const {windowed} = await windowOf(name, {});
      expect(await windowOf(name, {sliding_window: undefined}), name).to.deep.equal({window: 4096, windowed});
    }
    const none = {window: undefined, windowed: undefined};
    for (const name of ['ministral3', 'smollm3', 'phi3']) {
      const change = {sliding_window: undefined, layer_types: undefined};
      expect(await windowOf(name, change), name).to.deep.equal(none);
    }
    for (const name of ['mistral', 'qwen3_window']) {
      expect(await windowOf(name, {sliding_window: null, layer_types: undefined}), name).to.deep.equal(none);
    }
    for (const name of ['gemma2', 'gemma3', 'olmo3']) {
      const full = Array.from({length: 12}, () => 'full_attention');
      expect(await windowOf(name, {sliding_window: null, layer_types: full}), name).to.deep.equal(none);
    }
  });

  const refusals: [name: string, change: Keys, message: RegExp][] = [
    [
      'opt',
      {word_embed_proj_dim: 16},
      /word_embed_proj_dim = 16; embeddings must be as wide as hidden states/,
    ],
    ['opt', {do_layer_norm_before: false}, /do_layer_norm_before = false/],
    ['phi', {qk_layernorm: true}, /qk_layernorm = true; eigenkv has no layer norms of queries and keys/],
    ['phi', {tie_word_embeddings: true}, /tie_word_embeddings = true/],
    ['stablelm', {qk_layernorm: true}, /qk_layernorm = true/],
    ['gemma', {use_bidirectional_attention: true}, /causal attention only/],
    ['gemma', {hidden_act: 'relu'}, /hidden_act = "relu"; expected one of gelu/],
    ['bloom', {apply_residual_connection_post_layernorm: true}, /adds what a block got, not its norm/],
    ['bloom', {n_head: undefined}, /lacks the key "n_head"/],
    ['gpt_neo', {attention_types: [[['global'], 3]]}, /attention_types of 3 layers, and num_layers = 4/],
    ['gpt_neo', {attention_types: [[['linear'], 4]]}, /layers are "global" or "local"/],
    ['qwen3_window', {layer_types: ['sliding_attention']}, /1 layer_types and 2 layers/],
    ['qwen3_window', {layer_types: ['linear_attention', 'full_attention']}, /eigenkv has no other attention/],
    ['ministral3', {rope_parameters: {rope_type: 'default'}}, /lacks the key "llama_4_scaling_beta"/],
    ['smollm3', {no_rope_layers: [1]}, /1 no_rope_layers and 5 layers/],
    ['granite', {logits_scaling: 0}, /logits_scaling = 0; expected a number > 0/],
    ['mistral', {partial_rotary_factor: 0.5}, /models of this architecture rotate whole heads/],
    [
      'phi3',
      {rope_parameters: {rope_type: 'longrope', short_factor: [1], long_factor: [2]}},
      /1 divisors of frequencies for 4 rotated pairs/,
    ],
    // transformers says so of all of these: none of their depths with a window can be computed
    ['gemma2', {sliding_window: null}, /no sliding_window that says how many tokens/],
    ['gemma2', {sliding_window: null, layer_types: undefined}, /no sliding_window/],
    ['gemma3', {sliding_window: null}, /no sliding_window/],
    ['olmo3', {sliding_window: null}, /no sliding_window/],
    ['qwen3_window', {sliding_window: null}, /no sliding_window/],
    ['gemma2', {num_hidden_layers: 1e9, layer_types: undefined}, /models of at most 65536 depths are read/],
    [
      'qwen3',
      {model_type: 'qwen3_next'},
      /"qwen3_next". Its models need linear attention, which eigenkv does not have/,
    ],
    ['qwen3', {model_type: 'qwen3_moe'}, /need a mixture of experts/],
    ['qwen3', {model_type: 'falcon_h1'}, /need recurrent layers/],
    ['gemma3', {model_type: 'gemma3'}, /parts for images/],
    ['gemma3', {model_type: 'gemma3', text_config: {model_type: 'siglip'}}, /"siglip"/],
  ];
  for (const [name, change, message] of refusals) {
    it(`of ${name} with ${JSON.stringify(change)} are refused`, async () => {
      const keys = {...(await goldenJson<Keys>(name, 'config.json')), ...change};
      expect(() => configFromHub(keys)).to.throw(ModelError, message);
    });
  }

  /** What says how a model computes, beside its sizes. */
  const choices = [
    ...[
      'rope',
      'rotated',
      'window',
      'windowed',
      'windowRope',
      'attentionScale',
      'attentionSoftCap',
      'queryGrowth',
    ],
    ...['parallel', 'embeddingScale', 'residualScale', 'logitScale', 'logitSoftCap', 'activation'],
  ] as const;

  it('name nothing that does not move the logits of these models', async () => {
    await useBackend('wasm');
    for (const name of goldenModels) {
      const {ids, logits} = await goldenOf(name);
      const {model, config} = await goldenModel(name);
      for (const choice of choices) {
        const isDefault = choice === 'attentionScale' && config[choice] === 1 / Math.sqrt(config.headDim);
        if (!(choice in config) || isDefault) continue;
        const other = withOther(config, choice);
        const changed = buildModel(other);
        const byName = new Map(model.weights.map(variable => [variable.originalName, variable]));
        // without a norm that both parts share there are other variables
        if (changed.weights.every(({originalName}) => byName.has(originalName))) {
          for (const variable of changed.weights) variable.write(byName.get(variable.originalName)!.read());
          const moved = distance(await logitsOf(changed, ids), logits.data);
          expect(moved, `${name} with another ${choice}`).to.be.above(0.005);
        }
        changed.dispose();
      }
      model.dispose();
    }
  });

  function withOther(config: ModelConfig, choice: (typeof choices)[number]): ModelConfig {
    if (choice === 'activation') {
      return {...config, activation: config.activation === 'relu' ? 'silu' : 'relu'};
    }
    const {[choice]: _left, ...other} = config;
    return other;
  }
});
