import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {capacityOf, checkEncoding, expectRank4, headsOf} from '../../encodings/encoding.js';
import type {Encoding} from '../../encodings/index.js';

/** @throws InvalidArgumentError if queries, keys and values do not fit each other or hold fewer than `tokens` tokens. */
export function checkAttend(queries: tf.Tensor4D, keys: Encoding, values: Encoding, tokens: number): void {
  checkQueries(queries, keys, tokens);
  checkEncoding(values, 'values');
  const {batch, kvHeads} = headsOf(keys);
  const ofValues = headsOf(values);
  if (ofValues.batch !== batch || ofValues.kvHeads !== kvHeads) {
    throw new InvalidArgumentError(
      `values of batch ${ofValues.batch} and ${ofValues.kvHeads} heads do not fit keys of batch ${batch} and ` +
        `${kvHeads} heads: both must be equal.`,
    );
  }
  if (values.kind === 'lowRank' && values.rotate === true) {
    throw new InvalidArgumentError('values.rotate is true, but values have no rotation: leave it out.');
  }
  if (values.kind === 'lowRank' && values.rotatedMean !== undefined) {
    throw new InvalidArgumentError('values.rotatedMean is given, but values have no rotation: leave it out.');
  }
  checkTokens(tokens, values);
}

/** @throws InvalidArgumentError if queries and keys do not fit each other, or the keys hold fewer than `tokens` tokens. */
export function checkQueries(queries: tf.Tensor4D, keys: Encoding, tokens: number): void {
  expectRank4(queries, 'queries');
  checkEncoding(keys, 'keys');
  const [batch, heads, , dim] = queries.shape;
  const {batch: keyBatch, kvHeads} = headsOf(keys);
  if (batch !== keyBatch || heads % kvHeads !== 0 || dim !== keys.dim) {
    throw new InvalidArgumentError(
      `queries [${queries.shape.join(', ')}] do not fit keys of batch ${keyBatch}, ${kvHeads} heads and dim ${keys.dim}: ` +
        'batch and dim must be equal and the number of query heads a multiple of the key heads.',
    );
  }
  checkTokens(tokens, keys);
}

function checkTokens(tokens: number, encoding: Encoding): void {
  const capacity = capacityOf(encoding);
  if (!Number.isInteger(tokens) || tokens < 0 || tokens > capacity) {
    throw new InvalidArgumentError(
      `tokens = ${tokens}; expected an integer from 0 to the segment's ${capacity}.`,
    );
  }
}
