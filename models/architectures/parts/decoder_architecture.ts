import {ModelError} from '../../../base/errors.js';
import {withoutUndefined} from '../../../base/records.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';
import type {Architecture, GgufConfig} from './architecture.js';
import {decoder, decoderParts} from './decoder.js';
import {type TensorLayout, decoderTensors} from './decoder_tensors.js';
import type {ModelConfig} from './model_config.js';
import {type TensorNames, ggufNames, llamaNames} from './tensor_names.js';

/** What tells one decoder from another. */
export interface DecoderDescription extends Pick<Architecture, 'hubTypes' | 'fromHub' | 'toHub'> {
  /** See `Architecture`. Default: none; GGUF files have no such models. */
  readonly ggufTypes?: readonly string[];
  /** See `Architecture`. Default `'model.'`. */
  readonly hubPrefix?: string;
  /** What all models of the architecture have, where a config does not say otherwise. */
  readonly block?: Partial<ModelConfig>;
  /** Names in the hub's files that are not Llama's. */
  readonly hubNames?: Partial<TensorNames>;
  readonly hubLayout?: TensorLayout;
  /** Names in GGUF files that are not the usual ones. */
  readonly ggufNames?: Partial<TensorNames>;
  ggufLayout?(type: string): TensorLayout;
  fromGguf?(file: TensorFile): Promise<ModelConfig>;
  toGguf?(config: ModelConfig): GgufConfig;
}

/** An architecture whose models `decoder` builds and whose tensors `decoderTensors` names. */
export function decoderArchitecture({
  hubTypes,
  ggufTypes = [],
  hubPrefix = 'model.',
  block,
  fromHub,
  fromGguf,
  toHub,
  toGguf,
  ...files
}: DecoderDescription): Architecture {
  const whole = (config: ModelConfig): ModelConfig => ({...block, ...config});
  const hub = {...llamaNames, ...files.hubNames};
  const gguf = {...ggufNames, ...files.ggufNames};
  return {
    hubTypes,
    ggufTypes,
    hubPrefix,
    fromHub: keys => withoutUndefined(fromHub(keys)),
    async fromGguf(file) {
      if (fromGguf !== undefined) return withoutUndefined(await fromGguf(file));
      throw new ModelError(`GGUF files of ${hubTypes.join(', ')} are not read.`);
    },
    toHub: config => toHub(whole(config)),
    ...(toGguf && {toGguf: config => toGguf(whole(config))}),
    build(config, options) {
      const all = whole(config);
      return decoder(all, options, decoderParts(all, options));
    },
    hubWeights: config => decoderTensors(whole(config), hub, files.hubLayout),
    ggufWeights: (config, type) => decoderTensors(whole(config), gguf, files.ggufLayout?.(type)),
  };
}
