import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';

/** @throws InvalidArgumentError where ids are no list, such as a tensor or a text: callers of plain JavaScript give anything. */
export function expectList(ids: readonly number[], what: string): void {
  const given: unknown = ids;
  if (Array.isArray(given) || (ArrayBuffer.isView(given) && !(given instanceof DataView))) return;
  throw new InvalidArgumentError(
    `${what} is ${given instanceof tf.Tensor ? 'a tensor' : shown(given)}; expected a list of ids, as tokenizer.encode(text) gives.`,
  );
}
