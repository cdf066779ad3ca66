import {type FreshTokens} from '../../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import type {SeenTokens, Watcher} from '../../cache/watch/watched_cache.js';
import {attendOverItself} from '../../layers/cached_attention.js';
import {fromHeads} from '../../layers/heads.js';
import type {RopeMode} from '../../layers/index.js';
import type {ScoringOptions} from '../../ops/attention/scoring.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import type {DenseAttention} from '../adapters/index.js';
import type {DepthBases} from './depth_bases.js';
import {truncated} from './truncate.js';
import {watchFeatures} from './watch_features.js';

/** ||X - X'|| / ||X||, Frobenius. */
export interface MeasuredErrors {
  /** Error of the causal scores before the softmax. */
  readonly keyError: number;
  /** Error of V W_O. */
  readonly valueError: number;
  /** Error of the attention output times W_O. */
  readonly outputError: number;
}

type Features = Pick<FreshTokens, 'queries' | 'keys' | 'values' | 'rope'> & ScoringOptions;

/** The features of one short text at all depths, to try ranks on. `dispose` it. */
export class FeatureSample implements Watcher {
  private readonly features: Features[] = [];

  private constructor(readonly ids: readonly number[]) {}

  /** Runs a text through a model, in one pass. */
  static async of(
    model: tf.LayersModel,
    attentions: readonly DenseAttention[],
    ids: readonly number[],
  ): Promise<FeatureSample> {
    const sample = new FeatureSample(ids);
    await watchFeatures(model, attentions, ids, {chunk: ids.length, watcher: sample});
    return sample;
  }

  see(depth: number, {queries, keys, values, rope, scale, window, softCap, alibi}: SeenTokens): void {
    const keep = (x: tf.Tensor4D) => tf.keep(tf.clone(x));
    this.features[depth] = {
      ...{queries: keep(queries), keys: keep(keys), values: keep(values)},
      ...{rope, scale, window, softCap, alibi},
    };
  }

  /**
   * Relative errors of one depth over all tokens: its input is exact, its keys and values are truncated.
   * @param output W_O, `[heads * dim, model dim]`.
   */
  async errors(
    depth: number,
    bases: DepthBases,
    ropeMode: RopeMode,
    ranks: {readonly keys: number; readonly values: number},
    output: Float32Array,
  ): Promise<MeasuredErrors> {
    const exact = this.features[depth]!;
    const [, heads, , dim] = exact.queries.shape;
    const errors = tf.tidy(() => {
      const rough = truncated(exact, bases, ropeMode, ranks);
      const kernel = tf.tensor2d(output, [heads * dim, output.length / (heads * dim)]);
      const outputOf = (features: Features) => fromHeads(attendOverItself(features), {matrix: kernel});
      return tf.stack([
        relativeError(scoresOf(rough), scoresOf(exact)),
        relativeError(valueOutputs(rough, kernel), valueOutputs(exact, kernel)),
        relativeError(outputOf(rough), outputOf(exact)),
      ]);
    });
    const [keyError = 0, valueError = 0, outputError = 0] = await errors.data<'float32'>();
    errors.dispose();
    return {keyError, valueError, outputError};
  }

  dispose(): void {
    for (const {queries, keys, values} of this.features) tf.dispose([queries, keys, values]);
    this.features.length = 0;
  }
}

function relativeError(x: tf.Tensor, exact: tf.Tensor): tf.Tensor {
  const length = (y: tf.Tensor) => tf.sqrt(tf.sum(tf.square(y)));
  return tf.divNoNan(length(tf.sub(x, exact)), length(exact));
}

/** Scores of every token with itself and those before it, zeros elsewhere: `[heads, tokens, tokens]`. */
function scoresOf({queries, keys, rope}: Features): tf.Tensor {
  const [, kvHeads, tokens, dim] = keys.shape;
  const rotation = rope && rotationFor(rope, dim, 0, tokens);
  const rotated = (x: tf.Tensor4D) => (rotation ? rotate(x, rotation) : x);
  const rows = tf.reshape<tf.Rank.R3>(rotated(queries), [kvHeads, -1, dim]);
  const columns = tf.reshape<tf.Rank.R3>(rotated(keys), [kvHeads, tokens, dim]);
  const scores = batchedMatMul(rows, columns, {transposeB: true});
  const positions = tf.range(0, tokens);
  const isPast = tf.lessEqual(tf.reshape(positions, [1, tokens]), tf.reshape(positions, [tokens, 1]));
  return tf.mul(tf.reshape(scores, [-1, tokens, tokens]), tf.cast(isPast, 'float32'));
}

/** V W_O per query head: `[heads, tokens, model dim]`. */
function valueOutputs({queries, values}: Features, kernel: tf.Tensor2D): tf.Tensor {
  const [, heads] = queries.shape;
  const [, kvHeads, tokens, dim] = values.shape;
  const ofHeads = tf.unstack(tf.reshape(values, [kvHeads, tokens, dim])) as tf.Tensor2D[];
  return tf.stack(
    Array.from({length: heads}, (_, head) =>
      tf.matMul(ofHeads[Math.floor((head * kvHeads) / heads)]!, tf.slice(kernel, [head * dim, 0], [dim, -1])),
    ),
  );
}
