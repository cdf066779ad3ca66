import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {fingerprintOf} from '../../cache/binding/fingerprint.js';
import type {Watcher} from '../../cache/watch/watched_cache.js';
import {rotate} from '../../ops/rotate/index.js';
import type {DenseAttention} from '../adapters/index.js';
import {type ModelLike, type TextLike, contextLengthOf, idsOfTexts, modelOf} from '../model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../progress.js';
import {denseAttentions} from './dense_attention.js';
import {outputMetric} from './output_metric.js';
import {piecesOf} from './pieces.js';
import {type DepthStatistics, StatisticsWatcher, sumSides} from './statistics.js';
import type {TransformStatistics} from './transform/statistics.js';
import {TransformFeatures, TransformGradients, TransformScales} from './transform/watch_transform.js';
import {watchFeatures} from './watch_features.js';
import {type TokenGradients, expectGradients, watchGradients} from './watch_gradients.js';

/** What `compress` needs to know of a model's attention over texts. Calibrations add up: see `mergeCalibrations`. */
export interface Calibration {
  /** Of the attention weights: see `fingerprintOf`. */
  readonly fingerprint: string;
  /** Tokens seen. */
  readonly tokens: number;
  readonly depths: readonly DepthStatistics[];
  /** Statistics of gradients instead of features, over fewer tokens: see `watchGradients`. Only with `gradientTokens`. */
  readonly gradients?: Pick<Calibration, 'tokens' | 'depths'>;
  /**
   * What the codec `transform` is calibrated by: see `transformProfile`. Only with `gradientTokens`, texts of more than 4 tokens, and a
   * model whose depths all rotate alike.
   */
  readonly transform?: TransformStatistics;
}

export interface CalibrateOptions extends ProgressOptions {
  /** At most this many tokens of all texts together: the first ones of each, equally many of long texts. Default: all. */
  readonly tokens?: number;
  /** Longer texts are cut into pieces of this many tokens, each treated as its own text; at most the model's context. Default 1024. */
  readonly window?: number;
  /** Tokens per forward pass. Default 256. Layers that take no cache get a piece at once. */
  readonly chunk?: number;
  /**
   * Tokens whose gradients are computed as well, spread over the texts in pieces of 512: for the method `fisher`, for ranks by what they
   * cost, and for the codec `transform`. Each takes about as long as five tokens without; 3,000 are enough for `transform`. Default 0.
   */
  readonly gradientTokens?: number;
  /** Seed of the tokens that are drawn for gradients. Default 0. */
  readonly seed?: number;
}

const schema = v.strictObject({
  tokens: v.optional(atLeast(1), Number.MAX_SAFE_INTEGER),
  window: v.optional(atLeast(1), 1024),
  chunk: v.optional(atLeast(1), 256),
  gradientTokens: v.optional(atLeast(0), 0),
  seed: v.optional(atLeast(0), 0),
  ...progressEntries,
});

/** The longest piece for gradients: activations between all layers are in memory at once, and few tokens are read from further away. */
const gradientWindow = 512;

/** Tokens whose scales are measured. */
const scaleTokens = 2048;

/**
 * Runs texts through a model and sums, per depth and key head, the Gram matrices K^T K, V^T V and Q^T Q of the group's queries,
 * before and after the rotation (`[dim, dim]` each; Eigen Attention, arXiv 2408.05646, section 3.1). Memory does not grow with the
 * texts. With `gradientTokens` it sums those of gradients too, and what transforms are computed from: see `watchGradients` and
 * `transformProfile`. Progress counts tokens.
 *
 * @param texts one text or several, or their ids.
 * @throws InvalidArgumentError if there are no tokens, an id is not in the vocabulary, a layer is already compressed, or gradients are
 *   asked of a layer that takes no cache; ModelError if a layer cannot be compressed or a feature is not finite; the signal's reason.
 */
export async function calibrate(
  model: ModelLike,
  texts: TextLike | readonly TextLike[],
  options: CalibrateOptions = {},
): Promise<Calibration> {
  const {tokens, window, chunk, gradientTokens, seed, ...progress} = checkOptions(
    'calibrate',
    schema,
    options,
  );
  const layersModel = modelOf(model);
  const attentions = denseAttentions(layersModel);
  const ids = idsOfTexts(model, texts);
  const fixed = layersModel.inputs[0]?.shape[1] ?? undefined; // some models take texts of one length only
  const cut = (longest: number) =>
    piecesOf(ids, {tokens, window: fixed ?? longest, whole: fixed !== undefined});
  const length = Math.min(window, contextLengthOf(model));
  const pieces = cut(length);
  if (pieces.length === 0) {
    throw new InvalidArgumentError(
      `There are no tokens to calibrate on; give a text of ${fixed ?? 1} at least${fixed === undefined ? '' : ', the length that the model takes'}.`,
    );
  }
  const gradientPieces = spread(cut(Math.min(length, gradientWindow)), gradientTokens, fixed !== undefined);
  const scalePieces = spread(gradientPieces, scaleTokens, true);
  const afterChunk = countProgress(sizeOf([...pieces, ...gradientPieces, ...scalePieces]), progress);
  if (gradientPieces.length > 0) expectGradients(layersModel, attentions);
  const passes: Passes = {model: layersModel, attentions, chunk, seed, afterChunk};
  const watcher = new StatisticsWatcher();
  const features = gradientPieces.length > 0 && rotateAlike(attentions) ? new TransformFeatures() : undefined;
  try {
    await watch(passes, pieces, features ? [watcher, features] : [watcher]);
    const fingerprint = await fingerprintOf(attentions.map(({layer}) => layer));
    const {tokens: seen, statistics: depths} = watcher;
    return {
      ...{fingerprint, tokens: seen, depths},
      ...(gradientPieces.length > 0 &&
        (await costs(
          passes,
          await features?.statistics(await outputMetrics(attentions)),
          gradientPieces,
          scalePieces,
        ))),
    };
  } finally {
    watcher.dispose();
    features?.dispose();
  }
}

/** Whether all depths rotate alike, which the statistics of transforms need. */
function rotateAlike(attentions: readonly DenseAttention[]): boolean {
  return new Set(attentions.map(({rope}) => JSON.stringify(rope))).size === 1;
}

/** By depth, the heads joined: one layer's weights are in memory at a time. */
async function outputMetrics(attentions: readonly DenseAttention[]): Promise<Float64Array[]> {
  const metrics: Float64Array[] = [];
  for (const attention of attentions) {
    const weights = await attention.read();
    const heads = Array.from({length: attention.kvHeads}, (_, head) =>
      outputMetric(weights, attention, head),
    );
    metrics.push(Float64Array.from(heads.flatMap(head => [...head])));
  }
  return metrics;
}

/** What all passes over a text need. */
interface Passes {
  readonly model: tf.LayersModel;
  readonly attentions: readonly DenseAttention[];
  readonly chunk: number;
  readonly seed: number;
  readonly afterChunk: (tokens: number) => Promise<void>;
}

type Pieces = readonly (readonly number[])[];

/** The second and the third pass: gradients, and the scales of tokens in the transforms that these give. */
async function costs(
  passes: Passes,
  features: TransformStatistics | undefined,
  gradientPieces: Pieces,
  scalePieces: Pieces,
): Promise<Pick<Calibration, 'gradients' | 'transform'>> {
  const {model, attentions, seed, afterChunk} = passes;
  const gradients = new StatisticsWatcher(sumSides);
  const ofTransforms = features && new TransformGradients(features);
  try {
    for (const [index, piece] of gradientPieces.entries()) {
      const see = (depth: number, seen: TokenGradients) => {
        seeGradients(gradients, depth, seen);
        ofTransforms?.see(depth, seen);
      };
      await watchGradients(model, attentions, piece, {seed: seed + index, see});
      await gradients.take();
      await ofTransforms?.take();
      await afterChunk(piece.length);
    }
    const transform = ofTransforms && (await withScales(passes, ofTransforms.statistics, scalePieces));
    const {tokens, statistics: depths} = gradients;
    // texts that are shorter than what caches keep exact have no statistics
    return {gradients: {tokens, depths}, ...(transform && transform.tokens > 0 && {transform})};
  } finally {
    gradients.dispose();
    ofTransforms?.dispose();
  }
}

async function withScales(
  passes: Passes,
  statistics: TransformStatistics,
  pieces: Pieces,
): Promise<TransformStatistics> {
  const scales = new TransformScales(statistics);
  try {
    await watch(passes, pieces, [scales]);
    return scales.statistics;
  } finally {
    scales.dispose();
  }
}

/** Shows the features of all pieces to watchers. */
async function watch(
  {model, attentions, chunk, afterChunk}: Passes,
  pieces: Pieces,
  watchers: readonly TakingWatcher[],
): Promise<void> {
  const watcher: Watcher = {see: (...seen) => watchers.forEach(each => each.see(...seen))};
  for (const piece of pieces) {
    await watchFeatures(model, attentions, piece, {chunk, watcher, afterChunk});
    for (const each of watchers) await each.take();
  }
}

/** A watcher that reads its sums from the backend after each text. */
interface TakingWatcher extends Watcher {
  take(): Promise<void>;
}

/** Shows gradients in place of keys and values, which are not rotated. */
function seeGradients(watcher: Watcher, depth: number, {all, rotation}: TokenGradients): void {
  const {values} = all;
  // the gradient by k of R k is R^T g; and YaRN's rotations are longer by a factor, which the way back divides by twice
  const keys = rotation ? rotate(all.keys, {...rotation, sin: tf.neg(rotation.sin)}) : all.keys;
  const squares = rotation && tf.add(tf.square(rotation.cos), tf.square(rotation.sin));
  const unit = rotation && {
    ...rotation,
    cos: tf.div<tf.Tensor2D>(rotation.cos, squares!),
    sin: tf.div<tf.Tensor2D>(rotation.sin, squares!),
  };
  watcher.see(depth, {queries: keys, keys, values, start: 0, rotation: unit}, values);
}

/** Pieces at equal distances, of this many tokens together. */
function spread(pieces: Pieces, tokens: number, whole: boolean): (readonly number[])[] {
  const chosen: (readonly number[])[] = [];
  const count = Math.min(Math.ceil((tokens * pieces.length) / sizeOf(pieces)), pieces.length);
  let left = tokens;
  for (let i = 0; i < count && left > 0; i++) {
    const piece = pieces[Math.floor(((i + 0.5) * pieces.length) / count)]!;
    chosen.push(whole ? piece : piece.slice(0, left));
    left -= piece.length;
  }
  return chosen;
}

const sizeOf = (pieces: Pieces) => pieces.reduce((sum, piece) => sum + piece.length, 0);
