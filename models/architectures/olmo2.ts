import * as v from 'valibot';
import {flag, ggufKeys, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {windowsFromGguf, windowsToGguf} from '../formats/gguf_windows.js';
import {hubRopeEntries} from '../formats/hub_rope.js';
import {ropesFromHub, ropesToHub} from '../formats/hub_window_rope.js';
import {
  activationToHub,
  hubActivation,
  hubSizeEntries,
  sizesFromHub,
  sizesToHub,
} from '../formats/hub_sizes.js';
import {hubWindowEntries, usualWindow, windowsFromHub, windowsToHub} from '../formats/hub_windows.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {onlyActivationOfGguf, refused} from './parts/gguf_refusals.js';
import type {ModelConfig} from './parts/model_config.js';

/** Every so manyth layer of OLMo 3 has no window. */
const period = 4;

/**
 * OLMo 2 and 3 (OLMo team, 2025, arXiv 2501.00656): blocks that normalise what comes out of their parts, norms of all queries and all keys;
 * OLMo 3 has a window at three of four depths, whose rotation is not stretched.
 */
export const olmo2 = decoderArchitecture({
  hubTypes: ['olmo2', 'olmo3'],
  ggufTypes: ['olmo2'],
  block: {qkNorm: 'projection', normPlace: 'after'},
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const isThird = keys.model_type === 'olmo3';
    const {rope, windowRope} = ropesFromHub(keys, isThird ? {theta: 5e5, windowTheta: 5e5} : {});
    const windows = isThird
      ? windowsFromHub(keys, keys.num_hidden_layers, depth => (depth + 1) % period !== 0)
      : {};
    return {
      architecture: 'olmo2',
      ...sizesFromHub(keys),
      activation: keys.hidden_act,
      rope,
      ...windows,
      ...(windows.window !== undefined && {windowRope}),
      normEpsilon: keys.rms_norm_eps,
      biases: {
        queryKeyValue: keys.attention_bias,
        attentionOutput: keys.attention_bias,
        feedForward: false,
      },
    };
  },
  toHub,
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'olmo2');
    const sizes = sizesFromGguf(file, keys, 'rms');
    const rope = await ropeFromGguf(file, keys, sizes);
    const windows = windowsFromGguf(file, keys, sizes.depths, period);
    const {theta} = rope; // llama.cpp takes it for all depths, whatever rope.freq_base_swa says
    return {
      architecture: 'olmo2',
      ...sizes,
      activation: 'silu',
      rope,
      ...windows,
      ...(windows.window !== undefined && {windowRope: {theta}}),
    };
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'silu');
    const {rope, window, windowRope = rope, architecture} = config;
    if (window !== undefined && (windowRope?.scaling !== undefined || windowRope?.theta !== rope?.theta)) {
      throw refused('a rotation at depths with a window that has another base or is stretched', architecture);
    }
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {
      type: 'olmo2',
      keys: {...sizesToGguf(config, 'rms'), ...keys, ...windowsToGguf(config)},
      tensors,
    };
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  ...hubWindowEntries,
  sliding_window: usualWindow,
  model_type: v.picklist(['olmo2', 'olmo3']),
  hidden_act: hubActivation('silu'),
  rms_norm_eps: positive,
  attention_bias: flag(false),
});

function toHub(config: ModelConfig): Record<string, unknown> {
  const shared = {
    ...sizesToHub(config),
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.biases.queryKeyValue,
  };
  if (config.window === undefined) {
    return {
      ...{architectures: ['Olmo2ForCausalLM'], model_type: 'olmo2'},
      ...shared,
      ...ropesToHub(config),
    };
  }
  return {
    ...{architectures: ['Olmo3ForCausalLM'], model_type: 'olmo3'},
    ...shared,
    ...windowsToHub(config),
    ...ropesToHub(config),
  };
}
