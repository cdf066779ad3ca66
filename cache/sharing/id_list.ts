import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';

/** @throws InvalidArgumentError if ids are not a list but, say, a tensor or text, which plain JavaScript callers may pass. */
export function expectList(given: unknown, what: string): void {
  if (isList(given)) return;
  throw new InvalidArgumentError(
    `${what} is ${given instanceof tf.Tensor ? 'a tensor' : shown(given)}; expected a list of ids, as tokenizer.encode(text) returns.`,
  );
}

/** Whether a value is a list of whole numbers. */
export function isIdList(given: unknown): given is readonly number[] {
  return isList(given) && Array.from(given).every(Number.isInteger);
}

/** A typed array is a list, too. */
function isList(given: unknown): given is ArrayLike<unknown> {
  return Array.isArray(given) || (ArrayBuffer.isView(given) && !(given instanceof DataView));
}
