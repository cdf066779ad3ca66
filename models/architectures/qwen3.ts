import * as v from 'valibot';
import {flag, ggufKeys, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {hubRopeEntries, ropeFromHub, ropeToHub} from '../formats/hub_rope.js';
import {
  activationToHub,
  hubActivation,
  hubSizeEntries,
  sizesFromHub,
  sizesToHub,
} from '../formats/hub_sizes.js';
import {hubWindowEntries, usualWindow, windowsFromHub, windowsToHub} from '../formats/hub_windows.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {noWindowInGguf} from './parts/gguf_refusals.js';

/** Qwen3, dense (Yang et al., 2025, arXiv 2505.09388): Qwen2 with norms of queries and keys by head in place of their biases. */
export const qwen3 = decoderArchitecture({
  hubTypes: ['qwen3'],
  ggufTypes: ['qwen3'],
  block: {qkNorm: 'head'},
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const {num_hidden_layers: depths, sliding_window: window, max_window_layers: firstWindow} = keys;
    const sizes = sizesFromHub(keys);
    return {
      architecture: 'qwen3',
      ...sizes,
      headDim: keys.head_dim ?? 128, // whatever dim and heads are
      activation: keys.hidden_act,
      rope: ropeFromHub(keys),
      ...(keys.use_sliding_window
        ? windowsFromHub(
            {...keys, sliding_window: window ?? undefined},
            depths,
            depth => depth >= firstWindow,
          )
        : {}),
      normEpsilon: keys.rms_norm_eps,
      biases: {
        queryKeyValue: keys.attention_bias,
        attentionOutput: keys.attention_bias,
        feedForward: false,
      },
    };
  },
  toHub: config => ({
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}),
    ...windowsToHub(config),
    use_sliding_window: config.window !== undefined,
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.biases.queryKeyValue,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'qwen3');
    const sizes = sizesFromGguf(file, keys, 'rms');
    const rope = await ropeFromGguf(file, keys, sizes);
    return {architecture: 'qwen3', ...sizes, activation: 'silu', rope};
  },
  toGguf(config) {
    noWindowInGguf(config);
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {type: 'qwen3', keys: {...sizesToGguf(config, 'rms'), ...keys}, tensors};
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  ...hubWindowEntries,
  hidden_act: hubActivation('silu'),
  rms_norm_eps: positive,
  attention_bias: flag(false),
  sliding_window: usualWindow,
  use_sliding_window: flag(false),
  max_window_layers: v.nullish(v.number('expected a number'), 28),
});
