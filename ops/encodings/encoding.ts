import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {kindOf, type Encoding, type EncodingLayout} from './index.js';
import type {EncodingTensorSpec} from './kind.js';
import {tokenEncodingOf} from './low_rank.js';
import {kvHeadsOf, tokenKindOf} from './token_kinds.js';

// What is asked of an encoding of any kind; the answers are in the records of the kinds.

export type {DenseEncoding} from './dense.js';
export type {Float8Encoding, Float8Layout} from './float8.js';
export type {Encoding} from './index.js';
export type {IntegerBits, IntegerEncoding, IntegerLayout} from './integer.js';
export type {LloydMaxEncoding} from './lloyd_max.js';
export type {LloydMaxLayout} from './lloyd_max_layout.js';
export type {Width} from './lloyd_max_levels.js';
export type {Basis, LowRankEncoding} from './low_rank.js';
export type {TokenEncoding} from './token_kinds.js';

/** How a tensor of an encoding holds tokens and heads. */
type TensorAxes = Pick<EncodingTensorSpec, 'tokensPerRow' | 'headColumns' | 'areApart'>;

/** One tensor of an encoding. */
interface EncodingTensor extends TensorAxes {
  readonly tensor: tf.Tensor4D;
}

/** An encoding's tensors by name. The names of a low-rank encoding's latents begin with `latents.`. */
export function tensorsOf(encoding: Encoding): {[name: string]: EncodingTensor} {
  const tensors: {[name: string]: EncodingTensor} = {};
  mapTensors(encoding, (tensor, name, {tokensPerRow, headColumns, areApart}) => {
    tensors[name] = {tensor, tokensPerRow, ...(headColumns && {headColumns}), ...(areApart && {areApart})};
    return tensor;
  });
  return tensors;
}

/** An encoding's tensors alone, by the names of `tensorsOf`. */
export function bareTensors(encoding: Encoding): Readonly<Record<string, tf.Tensor4D>> {
  return kindOf(encoding).tensors(encoding);
}

/** The same encoding with each of its tensors replaced. */
export function mapTensors<E extends Encoding>(
  encoding: E,
  change: (tensor: tf.Tensor4D, name: string, axes: TensorAxes) => tf.Tensor4D,
): E;
export function mapTensors(
  encoding: Encoding,
  change: (tensor: tf.Tensor4D, name: string, axes: TensorAxes) => tf.Tensor4D,
): Encoding {
  const kind = kindOf(encoding);
  const tensors = kind.tensors(encoding);
  return kind.make(kind.layout(encoding), (name, spec) => change(tensors[name]!, name, spec));
}

/** The batch and the number of key heads of an encoding. */
export function headsOf(encoding: Encoding): {batch: number; kvHeads: number} {
  const tokens = tokenEncodingOf(encoding);
  const data = tokenKindOf(tokens).data(tokens);
  return {batch: data.shape[0], kvHeads: kvHeadsOf(tokens, data)};
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
