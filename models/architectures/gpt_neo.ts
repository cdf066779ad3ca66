import * as v from 'valibot';
import {ModelError} from '../../base/errors.js';
import {count, flag, maybe, positive, readKeys} from '../formats/config_keys.js';
import {activationToHub, hubActivation} from '../formats/hub_sizes.js';
import {windowsOf} from '../formats/hub_windows.js';
import {isWindowed} from './parts/attention.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {byDepth} from './parts/model_config.js';

/**
 * GPT-Neo and TinyStories (Black et al., 2021; Eldan and Li, 2023, arXiv 2305.07759): learned positions, layer norms, scores that are not
 * scaled, and a window at some depths. There are no GGUF files of it.
 */
export const gptNeo = decoderArchitecture({
  hubTypes: ['gpt_neo'],
  block: {norm: 'layer', gated: false, firstPosition: 0, attentionScale: 1},
  hubPrefix: 'transformer.',
  hubNames: {
    embedding: 'transformer.wte',
    positions: 'transformer.wpe',
    block: 'transformer.h.@.',
    attentionNorm: 'ln_1',
    query: 'attn.attention.q_proj',
    key: 'attn.attention.k_proj',
    value: 'attn.attention.v_proj',
    attentionOutput: 'attn.attention.out_proj',
    feedForwardNorm: 'ln_2',
    up: 'mlp.c_fc',
    down: 'mlp.c_proj',
    finalNorm: 'transformer.ln_f',
  },
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const {hidden_size: dim, num_heads: heads, num_layers: depths} = keys;
    return {
      architecture: 'gpt_neo',
      vocabSize: keys.vocab_size,
      contextLength: keys.max_position_embeddings,
      depths,
      dim,
      heads,
      kvHeads: heads,
      headDim: dim / heads,
      hiddenDim: keys.intermediate_size ?? 4 * dim,
      activation: keys.activation_function,
      ...windowsOf(keys.window_size, localDepths(keys.attention_types, depths)),
      normEpsilon: keys.layer_norm_epsilon,
      biases: {queryKeyValue: false, attentionOutput: true, feedForward: true},
      tiedEmbeddings: keys.tie_word_embeddings,
    };
  },
  toHub: config => ({
    architectures: ['GPTNeoForCausalLM'],
    model_type: 'gpt_neo',
    vocab_size: config.vocabSize,
    max_position_embeddings: config.contextLength,
    hidden_size: config.dim,
    num_layers: config.depths,
    num_heads: config.heads,
    intermediate_size: config.hiddenDim,
    activation_function: activationToHub(config.activation),
    attention_types: byDepth(config.depths, depth => isWindowed(config, depth)).map(isLocal => [
      [isLocal ? 'local' : 'global'],
      1,
    ]),
    window_size: config.window ?? config.contextLength,
    layer_norm_epsilon: config.normEpsilon,
    tie_word_embeddings: config.tiedEmbeddings,
  }),
});

const hubSchema = v.object({
  vocab_size: count,
  max_position_embeddings: count,
  hidden_size: count,
  num_layers: count,
  num_heads: count,
  intermediate_size: maybe(count),
  activation_function: hubActivation('gelu_new'),
  attention_types: v.array(
    v.tuple([
      v.array(v.picklist(['global', 'local'], 'layers are "global" or "local"')),
      v.pipe(v.number('expected a count'), v.integer(), v.minValue(0)),
    ]),
    'expected a list of [["global", "local"], count]',
  ),
  window_size: v.nullish(count, 256),
  layer_norm_epsilon: positive,
  tie_word_embeddings: flag(true),
});

/** The depths that have a window, by a list of runs of layers and how often each comes. */
function localDepths(
  types: readonly (readonly [readonly ('global' | 'local')[], number])[],
  depths: number,
): boolean[] {
  const total = types.reduce((sum, [run, times]) => sum + run.length * times, 0);
  if (total !== depths) {
    throw new ModelError(
      `config.json has attention_types of ${total} layers, and num_layers = ${depths}; they must agree.`,
    );
  }
  const starts = runStarts(types);
  return byDepth(depths, depth => {
    const {run, start} = starts.findLast(each => each.start <= depth)!;
    return run[(depth - start) % run.length] === 'local';
  });
}

function runStarts(types: readonly (readonly [readonly ('global' | 'local')[], number])[]) {
  let start = 0;
  return types
    .map(([run, times]) => {
      const first = start;
      start += run.length * times;
      return {run, start: first, end: start};
    })
    .filter(each => each.end > each.start);
}
