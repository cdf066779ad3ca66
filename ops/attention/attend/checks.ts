import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {capacityOf, expectRank4, headsOf, type Encoding} from '../../encodings/encoding.js';

/** Checks that queries fit keys, and that these hold so many tokens. */
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
  checkTokens(tokens, capacityOf(keys));
}

export function checkTokens(tokens: number, capacity: number): void {
  if (!Number.isInteger(tokens) || tokens < 0 || tokens > capacity) {
    throw new InvalidArgumentError(
      `tokens = ${tokens}; expected an integer from 0 to the segment's ${capacity}.`,
    );
  }
}

/** Checks that the parts of a low-rank encoding fit each other; other encodings come whole from their encoders. */
export function checkEncoding(encoding: Encoding, what: string): void {
  if (encoding.kind !== 'lowRank') return;
  const {dim, rank, latents, basis, mean} = encoding;
  const {batch, kvHeads} = headsOf(latents);
  const expected = [batch, kvHeads, rank, dim];
  if (latents.dim !== rank || basis.shape.join() !== expected.join()) {
    throw new InvalidArgumentError(
      `${what} of rank ${rank} have latents of dim ${latents.dim} and basis [${basis.shape.join(', ')}]; expected dim ` +
        `${rank} and [${expected.join(', ')}].`,
    );
  }
  if (mean !== undefined && mean.shape.join() !== [batch, kvHeads, 1, dim].join()) {
    throw new InvalidArgumentError(
      `${what} have mean [${mean.shape.join(', ')}]; expected [${batch}, ${kvHeads}, 1, ${dim}].`,
    );
  }
}
