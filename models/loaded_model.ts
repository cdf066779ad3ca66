/// <reference lib="esnext.disposable" preserve="true" />
import type * as tf from '@tensorflow/tfjs';
import type {ModelConfig} from './architectures/parts/model_config.js';
import type {WeightSetting} from './formats/weight_formats.js';
import type {SamplingOptions} from './generate/options.js';
import type {Tokenizer} from './tokenizer/index.js';

/**
 * What `generate` and the measuring functions need of a model that reads and writes text. A `LoadedModel` is one; make one of
 * a model of your own with `{model, tokenizer}`.
 */
export interface TextModel {
  /** From int32 ids `[batch, tokens]` to float32 logits `[batch, tokens, vocabSize]`. */
  readonly model: tf.LayersModel;
  readonly tokenizer: Tokenizer;
  /** The most tokens of a text. Default: what the model's layers say. */
  readonly contextLength?: number;
  /** The Jinja template that makes one text of the messages of a conversation. Default: none; messages are refused. */
  readonly chatTemplate?: string;
}

/** A model with its weights, its tokenizer and all that its files say of their use. */
export interface LoadedModel extends TextModel {
  /** Sizes and architecture. */
  readonly config: ModelConfig;
  /** What it calls itself: the hub id, the name in its GGUF file, its folder's or file's name, or "embedded". */
  readonly name: string;
  /** Where it is from, so that `loadModel(source)` loads it again: a path, a hub id, an address; of a `File` its name. */
  readonly source: string;
  readonly contextLength: number;
  /** How its matrices were stored when it was loaded: see `LoadModelOptions`. */
  readonly weights: WeightSetting;
  /**
   * How its authors sample: generation_config.json if it has `do_sample`, or `general.sampling.*` of a GGUF file. Empty if
   * they say nothing. `generate` is greedy by default; it samples like this with `{...model.generation}`.
   */
  readonly generation: SamplingOptions;
  /** Frees the weights. A second call does nothing. */
  dispose(): void;
  /** The same as `dispose`, for `using model = await loadModel()`. */
  [Symbol.dispose](): void;
}
