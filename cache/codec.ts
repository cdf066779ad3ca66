import type * as tf from '@tensorflow/tfjs';
import type {Encoding} from '../ops/encodings/encoding.js';

export type {Options, OptionValue} from '../base/options.js';
import type {Options} from '../base/options.js';

/**
 * *How* one side (keys or values) of a run of tokens is stored. A codec only encodes: attention, decoding, appending and
 * sizes belong to the encodings that it makes (ops/encodings/encoding.ts), so that keys and values may have codecs of their own.
 */
export interface Codec {
  readonly name: string;
  /** What the registry needs to make this codec again. */
  readonly options: Options;
  /** Tokens are encoded in multiples of this many; 1 where tokens do not depend on each other. */
  readonly blockTokens: number;
  /** Keys are wanted as they are before their rotation, where the model rotates. */
  readonly unrotated?: boolean;
  /**
   * Numbers that all tokens of a run share, for each head: a basis, a mean. The first tokens of a run stay exact until these are
   * worth their bytes. Absent: none.
   */
  sharedNumbers?(dim: number): number;
  /**
   * Encodes float32 `[batch, kvHeads, tokens, dim]`; tokens is a multiple of `blockTokens`. `like` is the encoding of earlier
   * tokens of the same run: what all tokens of a run share (a basis, a mean) is taken from it, so that the encodings of two
   * runs appended are the encoding of both. Pure; inside the caller's tidy.
   */
  encode(x: tf.Tensor4D, like?: Encoding): Encoding;
  /** The largest |x - decode(encode(x))| that the codec promises for this x: a scalar, or one for each element. */
  errorBound(x: tf.Tensor4D): tf.Tensor;
}
