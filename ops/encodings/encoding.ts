import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {kindOf, type Encoding, type EncodingLayout} from './index.js';
import {tokenEncodingOf} from './low_rank.js';
import {tokenKindOf} from './token_kinds.js';

// What is asked of an encoding of any kind; the answers are in the records of the kinds.

export type {DenseEncoding} from './dense.js';
export type {Float8Encoding, Float8Layout} from './float8.js';
export type {Encoding} from './index.js';
export type {IntegerEncoding, IntegerLayout} from './integer.js';
export type {LowRankEncoding} from './low_rank.js';
export type {TokenEncoding} from './token_kinds.js';

/** One tensor of an encoding. */
interface EncodingTensor {
  readonly tensor: tf.Tensor4D;
  /** How many tokens one row covers; Infinity if all tokens share the tensor, as they share a basis. */
  readonly tokensPerRow: number;
}

/** An encoding's tensors by name. The names of a low-rank encoding's latents begin with `latents.`. */
export function tensorsOf(encoding: Encoding): {[name: string]: EncodingTensor} {
  const tensors: {[name: string]: EncodingTensor} = {};
  mapTensors(encoding, (tensor, name, tokensPerRow) => {
    tensors[name] = {tensor, tokensPerRow};
    return tensor;
  });
  return tensors;
}

/** An encoding's tensors alone, by the names of `tensorsOf`. */
export function bareTensors(encoding: Encoding): Readonly<Record<string, tf.Tensor4D>> {
  return kindOf(encoding).tensors(encoding);
}

/** The same encoding with each of its tensors replaced; `tokensPerRow` is Infinity for those that all tokens share. */
export function mapTensors<E extends Encoding>(
  encoding: E,
  change: (tensor: tf.Tensor4D, name: string, tokensPerRow: number) => tf.Tensor4D,
): E;
export function mapTensors(
  encoding: Encoding,
  change: (tensor: tf.Tensor4D, name: string, tokensPerRow: number) => tf.Tensor4D,
): Encoding {
  const kind = kindOf(encoding);
  const tensors = kind.tensors(encoding);
  return kind.make(kind.layout(encoding), (name, {tokensPerRow}) =>
    change(tensors[name]!, name, tokensPerRow),
  );
}

/** The batch and the number of key heads of an encoding. */
export function headsOf(encoding: Encoding): {batch: number; kvHeads: number} {
  const tokens = tokenEncodingOf(encoding);
  const [batch, kvHeads] = tokenKindOf(tokens).data(tokens).shape;
  return {batch, kvHeads};
}

/** How many tokens fit into an encoding without growing it. */
export function capacityOf(encoding: Encoding): number {
  const tokens = tokenEncodingOf(encoding);
  return tokenKindOf(tokens).capacity(tokens);
}

/** The bytes that an encoding's tensors take, spare capacity, scales and zero points included. */
export function encodingBytes(encoding: Encoding): number {
  // float32 and int32 are the only dtypes of encodings: 4 bytes per element
  return Object.values(bareTensors(encoding)).reduce((sum, {size}) => sum + size * 4, 0);
}

/** An encoding without its tensors: what JSON says of it. */
export function layoutOf(encoding: Encoding): EncodingLayout {
  return kindOf(encoding).layout(encoding);
}

/** @throws InvalidArgumentError if the tensors of an encoding do not fit each other. `what` is its name in the message. */
export function checkEncoding(encoding: Encoding, what: string): void {
  kindOf(encoding).check?.(encoding, what);
}

/** Checks that a tensor is `[batch, heads, tokens, dim]`. */
export function expectRank4(tensor: tf.Tensor, what: string): void {
  if (tensor.rank !== 4) {
    throw new InvalidArgumentError(
      `${what} has shape [${tensor.shape.join(', ')}]; expected four axes [batch, heads, tokens, dim].`,
    );
  }
}
