import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast, checkOptions} from '../../base/options.js';
import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import {waitingEvents} from '../generate/event_loop.js';
import {checkIds} from '../token_ids.js';
import type {Tokenizer} from '../tokenizer/index.js';
import {type DenseAttention, denseAttentions} from '../adapters/index.js';
import {fingerprintOf} from '../../cache/binding/fingerprint.js';
import {type DepthStatistics, StatisticsWatcher, added, gradientSides} from './statistics.js';
import {watchFeatures} from './watch_features.js';
import {watchGradients} from './watch_gradients.js';

/** What a model's attention does to texts: all that compression needs to know of them. Additive: see `mergeCalibrations`. */
export interface Calibration {
  /** Of the model: see `fingerprintOf`. */
  readonly fingerprint: string;
  /** Tokens seen. */
  readonly tokens: number;
  readonly depths: readonly DepthStatistics[];
  /** The same of gradients in place of features, of fewer tokens: see `watchGradients`. Only where they were asked for. */
  readonly gradients?: Pick<Calibration, 'tokens' | 'depths'>;
}

export interface CalibrateOptions {
  /** The first so many tokens, all texts together. Default: all. */
  readonly tokens?: number;
  /** Longer texts are cut to pieces of so many tokens, each a text of its own; at most the model's context. Default 1024. */
  readonly window?: number;
  /** Tokens that go through the model at a time. Default 256. */
  readonly step?: number;
  /**
   * Of the first so many of the tokens also the gradients, for the method `fisher` and for ranks by what they cost. Each takes as long
   * as ten tokens without, more or less. Default 0.
   */
  readonly gradientTokens?: number;
  /** Tokens done, of all. */
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
  readonly signal?: AbortSignal;
}

/** What of a loaded model is calibrated. */
export interface CalibratedModel {
  readonly model: tf.LayersModel;
  readonly config?: {readonly contextLength: number};
  /** Needed where texts are strings. */
  readonly tokenizer?: Pick<Tokenizer, 'encode'>;
}

const schema = v.strictObject({
  tokens: v.optional(atLeast(1), Number.MAX_SAFE_INTEGER),
  window: v.optional(atLeast(1), 1024),
  step: v.optional(atLeast(1), 256),
  gradientTokens: v.optional(atLeast(0), 0),
});

/**
 * Texts are cut to this for gradients, since all activations of one are in memory at once: of a model of 135M parameters 256
 * tokens took 3.2 GB beside its weights, and half as many half of that.
 */
const gradientWindow = 128;

/**
 * Sends texts through a model and sums, for each depth and key head, the Gram matrices K^T K, V^T V and the group's Q^T Q,
 * before and behind the rotation (`[dim, dim]` each; Eigen Attention, arXiv 2408.05646, section 3.1). Memory does not grow with
 * the texts. With `gradientTokens` the same of gradients: see `watchGradients`.
 *
 * @param texts strings, or ids.
 * @throws InvalidArgumentError where there is no token or one that is no id, no attention layer that an adapter knows, or gradients are asked of a
 *   layer that takes no cache; ModelError where a feature is NaN; the signal's reason.
 */
export async function calibrate(
  {model, config, tokenizer}: CalibratedModel,
  texts: readonly (string | readonly number[])[],
  {onProgress, signal, ...numbers}: CalibrateOptions = {},
): Promise<Calibration> {
  const {tokens, window, step, gradientTokens} = checkOptions('calibrate', schema, numbers);
  const attentions = denseAttentions(model);
  const fixed = model.inputs[0]?.shape[1] ?? undefined; // models of others may take texts of one length only
  const ids = texts.map(text => idsOf(text, tokenizer));
  for (const text of ids) checkIds(text, model);
  const length = fixed ?? Math.min(window, config?.contextLength ?? window);
  const pieces = piecesOf(ids, tokens, length, fixed);
  const gradientPieces =
    gradientTokens > 0
      ? piecesOf(ids, Math.min(tokens, gradientTokens), fixed ?? Math.min(length, gradientWindow), fixed)
      : [];
  const total = [...pieces, ...gradientPieces].reduce((sum, piece) => sum + piece.length, 0);
  const watcher = new StatisticsWatcher();
  const gradients = new StatisticsWatcher(gradientSides);
  let done = 0;
  const afterStep = async (fresh: number) => {
    done += fresh;
    onProgress?.({done, total});
    await waitingEvents();
    signal?.throwIfAborted();
  };
  try {
    for (const piece of pieces) {
      await watchFeatures(model, attentions, piece, {step, watcher, afterStep});
      await watcher.take();
    }
    for (const [seed, piece] of gradientPieces.entries()) {
      watchGradients(model, attentions, piece, {watcher: gradients, seed});
      await gradients.take();
      await afterStep(piece.length);
    }
    return {
      fingerprint: await fingerprintOf(attentions.map(({layer}) => layer)),
      ...summed(watcher),
      ...(gradientTokens > 0 && {gradients: summed(gradients)}),
    };
  } finally {
    watcher.dispose();
    gradients.dispose();
  }
}

const summed = ({tokens, statistics}: StatisticsWatcher) => ({tokens, depths: statistics});

/**
 * The calibration of all texts together.
 * @throws InvalidArgumentError where there is none, or they are of different models.
 */
export function mergeCalibrations(calibrations: readonly Calibration[]): Calibration {
  const [first, ...rest] = calibrations;
  if (first === undefined)
    throw new InvalidArgumentError('There is no calibration to merge; give one or more.');
  return rest.reduce((sum, next, index) => {
    if (next.fingerprint !== sum.fingerprint) {
      throw new InvalidArgumentError(
        `Calibration ${index + 1} is of the model ${next.fingerprint}, calibration 0 of ${sum.fingerprint}: only those of the ` +
          'same weights add up.',
      );
    }
    const gradients = [sum.gradients, next.gradients].filter(each => each !== undefined);
    return {
      ...together(sum, next),
      fingerprint: sum.fingerprint,
      ...(gradients.length > 0 && {gradients: gradients.reduce(together)}),
    };
  }, first);
}

type Summed = Pick<Calibration, 'tokens' | 'depths'>;

const together = (a: Summed, b: Summed): Summed => ({
  tokens: a.tokens + b.tokens,
  depths: a.depths.map((depth, i) => added(depth, b.depths[i]!)),
});

/**
 * Whether a calibration is of these attention layers.
 * @throws ModelError where it is not.
 */
export async function checkCalibration(
  calibration: Calibration,
  attentions: readonly DenseAttention[],
): Promise<void> {
  const fingerprint = await fingerprintOf(attentions.map(({layer}) => layer));
  if (fingerprint === calibration.fingerprint) return;
  throw new ModelError(
    `The calibration is of the model ${calibration.fingerprint}, and this model is ${fingerprint}: its weights are others. ` +
      'Calibrate this model.',
  );
}

function idsOf(text: string | readonly number[], tokenizer: CalibratedModel['tokenizer']): readonly number[] {
  if (typeof text !== 'string') return text;
  if (tokenizer !== undefined) return tokenizer.encode(text, {parseSpecial: false});
  throw new InvalidArgumentError("Texts as strings need the model's tokenizer; give it, or give ids.");
}

/** Texts cut to windows, until so many tokens are there. */
function piecesOf(
  texts: readonly (readonly number[])[],
  tokens: number,
  window: number,
  fixed: number | undefined,
): number[][] {
  const pieces: number[][] = [];
  let left = tokens;
  for (const ids of texts) {
    for (let start = 0; start < ids.length && left > 0; start += window) {
      const piece = ids.slice(start, start + Math.min(window, left));
      if (fixed === undefined || piece.length === fixed) pieces.push(piece);
      left -= piece.length;
    }
  }
  if (pieces.length === 0) {
    const needed = fixed === undefined ? 'some' : `${fixed} at least, the length that the model takes`;
    throw new InvalidArgumentError(`There are no tokens to calibrate on; give a text with ${needed}.`);
  }
  return pieces;
}
