import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {splitPartial} from '../split_partial.js';

/** Partials float32 `[batch, heads, tokens, dimV + 2]` of equal shape, by any names. */
export type PartialInputs = Record<string, tf.Tensor4D>;

/** @throws InvalidArgumentError if there is no partial, or their shapes differ. `op` is the name of what got them. */
export function partialInputs(op: string, partials: readonly tf.Tensor4D[]): PartialInputs {
  const [first] = partials;
  if (first === undefined) throw new InvalidArgumentError(`${op} got no partial; it needs at least one.`);
  for (const {shape} of partials) {
    if (shape.join() !== first.shape.join()) {
      throw new InvalidArgumentError(
        `${op} got shapes [${first.shape.join(', ')}] and [${shape.join(', ')}]; they must be equal.`,
      );
    }
  }
  return Object.fromEntries(partials.map((partial, index) => [`partial${index}`, partial]));
}

/** `mergePartials` in plain tfjs ops. */
export function mergePartialsReference(inputs: PartialInputs): tf.Tensor4D {
  const {partials, sum} = joined(inputs);
  const output = tf.addN(partials.map(({output, factor}) => tf.mul<tf.Tensor4D>(output, factor)));
  return tf.divNoNan(output, sum);
}

/** `partialLogSum` in plain tfjs ops. */
export function partialLogSumReference(inputs: PartialInputs): tf.Tensor4D {
  const {shift, sum} = joined(inputs);
  return tf.add(shift, tf.log(sum));
}

/** `shift`, the largest score of all; the factors `exp(max - shift)` of the partials; and the sum of their weights. */
function joined(inputs: PartialInputs) {
  const parts = Object.values(inputs).map(splitPartial);
  const largest = parts.map(({max}) => max).reduce((a, b) => tf.maximum(a, b));
  // if nothing was seen, -Infinity - (-Infinity) would be NaN: shift by 0 instead
  const shift = tf.where(tf.greater(largest, -Infinity), largest, tf.zerosLike(largest));
  const partials = parts.map(part => ({...part, factor: tf.exp(tf.sub<tf.Tensor4D>(part.max, shift))}));
  return {partials, shift, sum: tf.addN(partials.map(({sum, factor}) => tf.mul<tf.Tensor4D>(sum, factor)))};
}
