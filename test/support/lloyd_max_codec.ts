import * as tf from '@tensorflow/tfjs';
import {registerCodec} from '../../cache/codecs/as_store.js';
import type {Encoding} from '../../ops/encodings/encoding.js';
import type {Width} from '../../ops/encodings/lloyd_max_levels.js';
import {lloydMaxErrorBound, quantizeLloydMax} from '../../ops/lloyd_max/index.js';

/**
 * The codec `testLloydMax`: codes of few bits without a calibration, so that the contracts of codecs, keepers and caches run over
 * encodings whose heads differ. The basis is the identity, for channels that fill whole groups. `widths`: the bits of a head's groups in
 * turn, each head from another place on.
 */
registerCodec('testLloydMax', ({widths = [8, 4]}: {widths?: readonly Width[]} = {}) => ({
  name: 'testLloydMax',
  options: {widths},
  blockTokens: 16,
  sharedNumbers: (dim: number) => rankOf(dim) * dim,
  encode(x: tf.Tensor4D, like?: Encoding): Encoding {
    const [batch, kvHeads, , dim] = x.shape;
    const rank = rankOf(dim);
    const basis = like?.kind === 'lowRank' ? like.basis : identity(batch, kvHeads, dim);
    return {kind: 'lowRank', dim, rank, latents: latentsOf(x, widths), basis};
  },
  errorBound: (x: tf.Tensor4D) =>
    tf.tidy(() => {
      const bound = lloydMaxErrorBound(padded(x), latentsOf(x, widths));
      return tf.slice(bound, [0, 0, 0, 0], [-1, -1, -1, x.shape[3]]);
    }),
}));

const rankOf = (dim: number): number => 8 * Math.ceil(dim / 8);

const padded = (x: tf.Tensor4D): tf.Tensor4D =>
  tf.pad(x, [
    [0, 0],
    [0, 0],
    [0, 0],
    [0, rankOf(x.shape[3]) - x.shape[3]],
  ]);

/** float32 `[batch, kvHeads, rank, dim]`. */
function identity(batch: number, kvHeads: number, dim: number): tf.Tensor4D {
  const one = tf.reshape<tf.Rank.R4>(tf.eye(rankOf(dim), dim), [1, 1, rankOf(dim), dim]);
  return tf.tile(one, [batch, kvHeads, 1, 1]);
}

function latentsOf(x: tf.Tensor4D, widths: readonly Width[]) {
  const [, kvHeads, , dim] = x.shape;
  const ofHead = (head: number) =>
    Array.from({length: rankOf(dim) / 8}, (_, group) => widths[(head + group) % widths.length]!);
  return quantizeLloydMax(
    padded(x),
    Array.from({length: kvHeads}, (_, head) => ofHead(head)),
  );
}
