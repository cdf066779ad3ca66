import * as tf from '@tensorflow/tfjs';
import {CacheStateError} from '../../../base/errors.js';
import type {LayerShape} from '../../../cache/binding/layer_shape.js';
import type {SideTransform, TransformProfile} from '../../../cache/codecs/transform_profile/profile.js';
import {type AgeOptions, divergencesByAge} from '../../../cache/codecs/transform_profile/widths_by_age.js';
import type {Policy} from '../../../cache/contract.js';
import {decodeTokens, meanAt} from '../../../cache/past/decode.js';
import {type DenseBlock, type Past, noEvents} from '../../../cache/past/past.js';
import {RopeTables} from '../../../cache/past/rope_tables.js';
import {dense} from '../../../cache/past/segments.js';
import {project} from '../../../ops/low_rank/index.js';

/**
 * What the calibration expects each depth's stored tokens to cost, in nats of KL divergence per token: the metric of the loss of what
 * the policy's codec makes of random tokens with the calibration's covariances, means and scales. For `transform` it is the sum over channels,
 * `1/2 sum_i lambda_i eps(width_i)`, of near and far tokens by their parts of the loss; for policies that store all tokens exactly it is 0.
 *
 * @param profile of the model.
 * @param tokens length of the text.
 * @returns by depth; undefined for policies that evict tokens or keep the newest ones exact, which are read most, and for codecs that also
 *   need queries.
 */
export async function predictedLosses(
  policies: readonly Policy[],
  shapes: readonly LayerShape[],
  profile: TransformProfile,
  tokens: number,
): Promise<(number | undefined)[]> {
  const known = new Map<string, readonly number[]>();
  const byAge = (bits: number, ages: AgeOptions, depth: number) => {
    const key = JSON.stringify([bits, ages]);
    const ofDepths = known.get(key) ?? lossesByAge(profile, bits, ages, tokens);
    known.set(key, ofDepths);
    return ofDepths[depth]!;
  };
  const losses: (number | undefined)[] = [];
  for (const [depth, policy] of policies.entries()) {
    losses.push(await predictedLoss(policy, shapes[depth]!, profile, byAge));
  }
  return losses;
}

/** Of `transform`, by depth. */
function lossesByAge(...given: Parameters<typeof divergencesByAge>): number[] {
  return divergencesByAge(...given).map(({keys, values}) => keys + values);
}

async function predictedLoss(
  {keep, recent, store}: Policy,
  shape: LayerShape,
  profile: TransformProfile,
  byAge: (bits: number, ages: AgeOptions, depth: number) => number,
): Promise<number | undefined> {
  const {keys, values} = profile.depths[shape.depth]!;
  const isOther = keys.dim !== shape.dim || values.dim !== shape.dimV || keys.kvHeads !== shape.kvHeads;
  if (keep.budget !== undefined || isOther) return undefined;
  if (store.exact === true) return 0;
  if (recent > 0) return undefined;
  const {bits, near, extraBits} = store.options;
  const isTransform = store.name === 'transform' && typeof bits === 'number';
  if (isTransform && typeof near === 'number' && typeof extraBits === 'number') {
    return byAge(bits, {near, extraBits}, shape.depth);
  }
  return simulatedLoss(store, shape, profile);
}

/** Where the random tokens begin in their text. */
const firstPosition = 256;
/** The fewest random tokens: groups of scales have at most 64 by default. */
const fewestTokens = 128;

async function simulatedLoss(
  store: Policy['store'],
  shape: LayerShape,
  {rope: config, depths}: TransformProfile,
): Promise<number | undefined> {
  const {keys, values} = depths[shape.depth]!;
  const wanted = Math.max(fewestTokens, store.firstTokens?.(shape) ?? 1);
  const tokens = store.moveTokens * Math.ceil(wanted / store.moveTokens);
  const rope = config && new RopeTables(config, keys.dim);
  const rotated = {rope, tokensSeen: firstPosition + tokens};
  try {
    const loss = tf.tidy(() => {
      const exact = {
        keys: randomTokens(keys, tokens, 2 * shape.depth + 1),
        values: randomTokens(values, tokens, 2 * shape.depth + 2),
      };
      if (keys.rotatedMean !== undefined) {
        const mean = tf.tensor4d(keys.rotatedMean, [1, keys.kvHeads, 1, keys.dim]);
        exact.keys = tf.add(exact.keys, meanAt(mean, tokens, firstPosition, rotated));
      }
      const block: DenseBlock = {
        ...{keys: dense(exact.keys), values: dense(exact.values), tokens, positions: firstPosition},
      };
      const context = {depth: shape.depth, depths: depths.length, scale: shape.dim ** -0.5, rope};
      const past = store.add(emptyPast(block, rotated.tokensSeen), block, context);
      if (past === undefined) return undefined;
      const decoded = Object.values(past.held).map(segment => decodeTokens(segment, rotated));
      const costs = decoded.flatMap(segment => [
        costOf(segment.keys.data, exact.keys, segment, keys),
        costOf(segment.values.data, exact.values, segment, values),
      ]);
      return tf.div(tf.addN(costs), tokens);
    });
    if (loss === undefined) return undefined;
    const [nats] = await loss.data<'float32'>();
    loss.dispose();
    return nats;
  } finally {
    rope?.dispose();
  }
}

/** Tokens `M + s z B`: z standard normal, s the scale of a token. Float32 `[1, kvHeads, tokens, dim]`, the same for the same seed. */
function randomTokens(
  {kvHeads, dim, mean, synthesis, tokenScales}: SideTransform,
  tokens: number,
  seed: number,
): tf.Tensor4D {
  const ofHeads = (numbers: Float64Array) => tf.tensor4d(Float32Array.from(numbers), [1, kvHeads, 1, 1]);
  const normal = (columns: number, ofSeed: number): tf.Tensor4D =>
    tf.randomNormal([1, kvHeads, tokens, columns], 0, 1, 'float32', ofSeed);
  const log2 = tf.add(
    ofHeads(tokenScales.mean),
    tf.mul(ofHeads(tokenScales.deviation), normal(1, seed + 0.5)),
  );
  const channels: tf.Tensor4D = tf.mul(normal(dim, seed), tf.exp(tf.mul(log2, Math.LN2)));
  const basis = tf.transpose(tf.tensor4d(synthesis, [1, kvHeads, dim, dim]), [0, 1, 3, 2]);
  return tf.add(project(channels, basis), tf.tensor4d(mean, [1, kvHeads, 1, dim]));
}

/** Sum over tokens of `1/2 sum_i lambda_i (e A)_i^2`, e the error of a token. */
function costOf(
  decoded: tf.Tensor4D,
  exact: tf.Tensor4D,
  {positions, tokens}: DenseBlock,
  {kvHeads, dim, analysis, weights}: SideTransform,
): tf.Tensor {
  if (typeof positions !== 'number')
    throw new CacheStateError('Tokens that are stored for the first time have no gaps.');
  const error: tf.Tensor4D = tf.sub(
    decoded,
    tf.slice(exact, [0, 0, positions - firstPosition, 0], [-1, -1, tokens, -1]),
  );
  const basis = tf.transpose(tf.tensor4d(analysis, [1, kvHeads, dim, dim]), [0, 1, 3, 2]);
  const lambda = tf.tensor4d(Float32Array.from(weights), [1, kvHeads, 1, dim]);
  return tf.mul(tf.sum(tf.mul(tf.square(project(error, basis)), lambda)), 0.5);
}

function emptyPast({keys, values}: DenseBlock, tokensSeen: number): Past {
  const none = {keys, values, tokens: 0, positions: tokensSeen};
  return {held: {}, recent: none, tokensSeen, events: noEvents};
}
