import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';

/**
 * How a layer that computes from the positions of its tokens continues after a cache, when it gets only the new tokens.
 * Adding one is a line: `registerPositionAdapter({className: 'MyPositions', behind: paddedBehind})`.
 */
export interface PositionAdapter {
  /** The layer's class, as `getClassName()` gives it. */
  readonly className: string;
  /**
   * The layer's output for new tokens, inside a tidy.
   * @param x `[batch, tokens, ...]`, the new tokens.
   * @param start the position of the first of them.
   * @param call the layer itself, which treats its first token as the first of the text.
   */
  behind(x: tf.Tensor, start: number, call: (x: tf.Tensor) => tf.Tensor): tf.Tensor;
  /**
   * The most tokens that the layer has positions for; longer texts are refused, with a cache and without. Default: the rows of its
   * table of positions, where it has weights that can be nothing else, or what its config calls maxLength or sequenceLength.
   */
  tokens?(layer: tf.layers.Layer): number | undefined;
}

/**
 * Gives the layer `start` zeros before the new tokens, and cuts their outputs off again. Right for every layer whose output at
 * a token depends on that token and its position alone: ranges, tables of learned positions, sines. Costs one row per past token.
 */
export function paddedBehind(x: tf.Tensor, start: number, call: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  if (start === 0) return call(x);
  const [batch = 0, tokens = 0, ...rest] = x.shape;
  const padded = call(tf.concat([tf.zeros([batch, start, ...rest], x.dtype), x], 1));
  const [, , ...restOut] = padded.shape;
  return tf.slice(padded, [0, start, ...restOut.map(() => 0)], [-1, tokens, ...restOut]);
}

/** `Range` is gpt-tfjs' layer of positions; the others have their names from Keras and its hub. */
const adapters = new Map<string, PositionAdapter>(
  ['Range', 'PositionEmbedding', 'TokenAndPositionEmbedding', 'SinePositionEncoding'].map(className => [
    className,
    {className, behind: paddedBehind},
  ]),
);

export function positionAdapterOf(layer: tf.layers.Layer): PositionAdapter | undefined {
  return adapters.get(layer.getClassName());
}

/**
 * Adds an adapter to a layer of yours that computes from positions, for `attachCache`.
 * @throws InvalidArgumentError if there is already one for its class.
 */
export function registerPositionAdapter(adapter: PositionAdapter): void {
  if (adapters.has(adapter.className)) {
    throw new InvalidArgumentError(`There is already a position adapter for ${adapter.className}.`);
  }
  adapters.set(adapter.className, adapter);
}
