import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {capacityOf, checkEncoding, expectRank4, headsOf} from '../../encodings/encoding.js';
import type {RelativeBias} from '../relative_bias.js';
import type {Encoding} from '../../encodings/index.js';

/** @throws InvalidArgumentError if queries, keys, values and biases do not fit each other or hold fewer than `tokens` tokens. */
export function checkAttend(queries: tf.Tensor4D, keys: Encoding, values: Encoding, biased: Biased): void {
  const {tokens} = biased;
  checkQueries(queries, keys, biased);
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

/** How many tokens of a segment are valid, and what is added to their scores. */
interface Biased {
  readonly tokens: number;
  readonly bias?: tf.Tensor4D | undefined;
  readonly relative?: RelativeBias | undefined;
}

/** @throws InvalidArgumentError if queries, keys and biases do not fit each other, or hold fewer than `tokens` tokens. */
export function checkQueries(queries: tf.Tensor4D, keys: Encoding, {tokens, bias, relative}: Biased): void {
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
  if (relative !== undefined && (heads !== kvHeads || relative.table.shape[0] !== heads)) {
    throw new InvalidArgumentError(
      `relative biases [${relative.table.shape.join(', ')}] for ${heads} query heads and ${kvHeads} key heads; all three numbers of heads must be equal.`,
    );
  }
  if (bias === undefined) return;
  const [biasBatch, biasHeads, rows, columns] = bias.shape;
  if (biasBatch === batch && biasHeads === kvHeads && rows >= tokens && columns === 1) return;
  throw new InvalidArgumentError(
    `bias [${bias.shape.join(', ')}] does not fit; expected [${batch}, ${kvHeads}, rows, 1] with at least ${tokens} rows.`,
  );
}

function checkTokens(tokens: number, encoding: Encoding): void {
  const capacity = capacityOf(encoding);
  if (!Number.isInteger(tokens) || tokens < 0 || tokens > capacity) {
    throw new InvalidArgumentError(
      `tokens = ${tokens}; expected an integer from 0 to the segment's ${capacity}.`,
    );
  }
}
