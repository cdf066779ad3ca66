import * as v from 'valibot';
import {ModelError} from '../../base/errors.js';
import {count, flag, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
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
import {hubWindowEntries, windowsFromHub, windowsToHub} from '../formats/hub_windows.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {noWindowInGguf, onlyActivationOfGguf, refused} from './parts/gguf_refusals.js';
import {byDepth} from './parts/model_config.js';

/** GGUF files do not say which depths rotate: all but every fourth. */
const interval = 4;

/** SmolLM3 (Bakouch et al., 2025): Llama without rotation at every fourth depth (NoPE: Yang et al., 2025, arXiv 2501.18795). */
export const smollm3 = decoderArchitecture({
  hubTypes: ['smollm3'],
  ggufTypes: ['smollm3'],
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const {num_hidden_layers: depths, no_rope_layers: listed, no_rope_layer_interval: every} = keys;
    if (listed !== undefined && listed.length < depths) {
      throw new ModelError(
        `config.json has ${listed.length} no_rope_layers and ${depths} layers (num_hidden_layers); there must be one for each.`,
      );
    }
    const rotated = byDepth(depths, depth =>
      listed === undefined ? (depth + 1) % every !== 0 : listed[depth] === 1,
    );
    return {
      architecture: 'smollm3',
      ...sizesFromHub(keys),
      activation: keys.hidden_act,
      rope: ropeFromHub(keys, {theta: 2e6}),
      rotated,
      ...(keys.use_sliding_window ? windowsFromHub(keys, depths, depth => !rotated[depth]!) : {}),
      normEpsilon: keys.rms_norm_eps,
      biases: {
        queryKeyValue: keys.attention_bias,
        attentionOutput: keys.attention_bias,
        feedForward: keys.mlp_bias,
      },
    };
  },
  toHub: config => ({
    architectures: ['SmolLM3ForCausalLM'],
    model_type: 'smollm3',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}),
    ...windowsToHub(config),
    use_sliding_window: config.window !== undefined,
    no_rope_layers: byDepth(config.depths, depth => config.rotated?.[depth] !== false).map(Number),
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.biases.queryKeyValue,
    mlp_bias: config.biases.feedForward,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'smollm3');
    const sizes = sizesFromGguf(file, keys, 'rms');
    return {
      architecture: 'smollm3',
      ...sizes,
      activation: 'silu',
      rope: await ropeFromGguf(file, keys, sizes),
      rotated: byDepth(sizes.depths, depth => (depth + 1) % interval !== 0),
    };
  },
  toGguf(config) {
    noWindowInGguf(config);
    onlyActivationOfGguf(config, 'silu');
    const {rotated, depths, architecture} = config;
    const isUsual = byDepth(depths, depth => (rotated?.[depth] !== false) === ((depth + 1) % interval !== 0));
    if (isUsual.includes(false)) {
      throw refused(`other layers without rotation than every ${interval}th`, architecture);
    }
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {type: 'smollm3', keys: {...sizesToGguf(config, 'rms'), ...keys}, tensors};
  },
  ggufLayout: () => ({interleaved: true}),
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  ...hubWindowEntries,
  tie_word_embeddings: flag(true),
  hidden_act: hubActivation('silu'),
  rms_norm_eps: positive,
  attention_bias: flag(false),
  mlp_bias: flag(false),
  use_sliding_window: flag(false),
  no_rope_layers: maybe(v.array(v.number('expected 0 or 1 for each layer'))),
  no_rope_layer_interval: v.nullish(count, interval),
});
