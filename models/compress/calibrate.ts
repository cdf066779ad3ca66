import * as v from 'valibot';
import {InvalidArgumentError, ModelError, shown} from '../../base/errors.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {fingerprintOf} from '../../cache/binding/fingerprint.js';
import type {DenseAttention} from '../adapters/index.js';
import {type ModelLike, type TextLike, contextLengthOf, idsOfTexts, modelOf} from '../model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../progress.js';
import {denseAttentions} from './dense_attention.js';
import {piecesOf} from './pieces.js';
import {type DepthStatistics, StatisticsWatcher, added, sumSides} from './statistics.js';
import {watchFeatures} from './watch_features.js';
import {watchGradients} from './watch_gradients.js';

/** What `compress` needs to know of a model's attention over texts. Calibrations add up: see `mergeCalibrations`. */
export interface Calibration {
  /** Of the attention weights: see `fingerprintOf`. */
  readonly fingerprint: string;
  /** Tokens seen. */
  readonly tokens: number;
  readonly depths: readonly DepthStatistics[];
  /** Statistics of gradients instead of features, over fewer tokens: see `watchGradients`. Only with `gradientTokens`. */
  readonly gradients?: Pick<Calibration, 'tokens' | 'depths'>;
}

export interface CalibrateOptions extends ProgressOptions {
  /** At most this many tokens of all texts together, the first ones. Default: all. */
  readonly tokens?: number;
  /** Longer texts are cut into pieces of this many tokens, each treated as its own text; at most the model's context. Default 1024. */
  readonly window?: number;
  /** Tokens per forward pass. Default 256. Layers that take no cache get a piece at once. */
  readonly chunk?: number;
  /**
   * Tokens, the first ones, whose gradients are taken as well: for the method `fisher`, and for ranks by what they cost. Each takes
   * about as long as ten tokens without. Default 0.
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

/**
 * The longest piece for gradients, since all its activations are in memory at once: for a model of 135M parameters, 256 tokens took
 * 3.2 GB beside the weights, and 128 tokens half of that.
 */
const gradientWindow = 128;

/**
 * Runs texts through a model and sums, per depth and key head, the Gram matrices K^T K, V^T V and Q^T Q of the group's queries,
 * before and after the rotation (`[dim, dim]` each; Eigen Attention, arXiv 2408.05646, section 3.1). Memory does not grow with the
 * texts. With `gradientTokens` it sums those of gradients too: see `watchGradients`. Progress counts tokens.
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
  const cut = (most: number, longest: number) =>
    piecesOf(ids, {tokens: most, window: fixed ?? longest, whole: fixed !== undefined});
  const length = Math.min(window, contextLengthOf(model));
  const pieces = cut(tokens, length);
  if (pieces.length === 0) {
    throw new InvalidArgumentError(
      `There are no tokens to calibrate on; give a text of ${fixed ?? 1} at least${fixed === undefined ? '' : ', the length that the model takes'}.`,
    );
  }
  const gradientPieces = cut(Math.min(tokens, gradientTokens), Math.min(length, gradientWindow));
  const total = [...pieces, ...gradientPieces].reduce((sum, piece) => sum + piece.length, 0);
  const afterChunk = countProgress(total, progress);
  const watcher = new StatisticsWatcher();
  const gradients = new StatisticsWatcher(sumSides);
  try {
    for (const piece of pieces) {
      await watchFeatures(layersModel, attentions, piece, {chunk, watcher, afterChunk});
      await watcher.take();
    }
    for (const [index, piece] of gradientPieces.entries()) {
      watchGradients(layersModel, attentions, piece, {watcher: gradients, seed: seed + index});
      await gradients.take();
      await afterChunk(piece.length);
    }
    const calibration = {
      fingerprint: await fingerprintOf(attentions.map(({layer}) => layer)),
      ...summed(watcher),
    };
    return gradientTokens > 0 ? {...calibration, gradients: summed(gradients)} : calibration;
  } finally {
    watcher.dispose();
    gradients.dispose();
  }
}

const summed = ({tokens, statistics}: StatisticsWatcher) => ({tokens, depths: statistics});

/**
 * The calibration of all texts together.
 * @throws InvalidArgumentError if there is none, or they are of different models.
 */
export function mergeCalibrations(calibrations: readonly Calibration[]): Calibration {
  const [first, ...rest] = calibrations;
  if (first === undefined) {
    throw new InvalidArgumentError('There is no calibration to merge; give one or more.');
  }
  return rest.reduce((sum, next, index) => {
    if (next.fingerprint !== sum.fingerprint) {
      throw new InvalidArgumentError(
        `Calibration ${index + 1} is of the model ${next.fingerprint}, calibration 0 of ${sum.fingerprint}; only those of the ` +
          'same weights add up.',
      );
    }
    const gradients = [sum.gradients, next.gradients].filter(each => each !== undefined);
    const merged = {...together(sum, next), fingerprint: sum.fingerprint};
    return gradients.length > 0 ? {...merged, gradients: gradients.reduce(together)} : merged;
  }, first);
}

type Summed = Pick<Calibration, 'tokens' | 'depths'>;

const together = (a: Summed, b: Summed): Summed => ({
  tokens: a.tokens + b.tokens,
  depths: a.depths.map((depth, i) => added(depth, b.depths[i]!)),
});

/** @throws InvalidArgumentError if it is not a calibration; ModelError if it is not of these attention layers. */
export async function checkCalibration(
  calibration: Calibration,
  attentions: readonly DenseAttention[],
): Promise<void> {
  const given: unknown = calibration;
  if (typeof given !== 'object' || given === null || !('fingerprint' in given && 'depths' in given)) {
    throw new InvalidArgumentError(
      `compress got ${shown(given)} as a calibration; expected what calibrate or loadCalibration returns.`,
    );
  }
  const fingerprint = await fingerprintOf(attentions.map(({layer}) => layer));
  if (fingerprint === calibration.fingerprint) return;
  throw new ModelError(
    `The calibration is of the model ${calibration.fingerprint}, and this model is ${fingerprint}: its weights differ. ` +
      'Calibrate this model.',
  );
}
