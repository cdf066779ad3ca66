import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, checkOptions, positiveNumber} from '../../base/options.js';
import {profileOfModel} from '../../cache/codecs/transform_profile/of_model.js';
import type {TransformProfile} from '../../cache/codecs/transform_profile/profile.js';
import {type TransformWidths, sizesOf} from '../../cache/codecs/transform_profile/widths.js';
import {divergenceByAge, widthsByAge} from '../../cache/codecs/transform_profile/widths_by_age.js';
import {leastBits, tableBytes} from '../../cache/plans/budget_policies.js';
import type {PlanJson} from '../../cache/plans/plan.js';
import {uniform} from '../../cache/plans/uniform.js';
import {transform} from '../../cache/policies/transform.js';
import {type ModelLike, type TextLike, modelOf} from '../../models/model_like.js';
import {type ProgressOptions, progressEntries} from '../../models/progress.js';
import type {DriftSummary} from './certificate/drift_summary.js';
import {evaluate} from './evaluate.js';
import {type MeasuredOf, type PowerLaw, errorOfPowerLaw, fitPowerLaw, inverse} from './power_law.js';

export interface TuneOptions extends ProgressOptions {
  /** The most bytes per token of a long text, relative to float32: 0.1 is a tenth. Give this or `maxKl`. */
  readonly targetRatio?: number;
  /** The most KL divergence from the full cache, in nats per token, as measured on the text. Give this or `targetRatio`. */
  readonly maxKl?: number;
  /** Use only the first tokens of the text, at most this many. Default 2,048. */
  readonly tokens?: number;
  /** Tokens per forward pass. Default 64. */
  readonly chunk?: number;
}

/** One number of bits: what it takes, and what it costs. */
export interface TunePoint {
  /** Mean bits of codes per number: the option of `transform`. */
  readonly bits: number;
  /** Bytes per token of a long text: codes, scales and the table of positions. */
  readonly bytesPerToken: number;
  /** The same, relative to float32. */
  readonly ratio: number;
  /** KL divergence by the calibration alone, nats per token. */
  readonly calibratedKl: number;
  /** KL divergence on this text, by the points that were measured; absent if these leave a standard error above a half of it. */
  readonly predictedKl?: number;
  /** What was measured on the text; absent for points of the curve in between. */
  readonly measured?: MeasuredPoint;
}

export interface MeasuredPoint {
  readonly klDivergence: number;
  readonly klStderr: number;
  readonly perplexity: number;
  /** Perplexity / that of the full cache, minus 1; and its standard error. */
  readonly change: number;
  readonly changeStderr: number;
  readonly top1Agreement: number;
  /** All bytes of the cache at the end of the first window, relative to float32: exact tokens and spare capacity as well. */
  readonly ratioToFloat32: number;
  /** How far what was stored is from the calibration; absent for texts too short to store tokens. */
  readonly drift?: DriftSummary;
}

/** The result of `tune`. */
export interface Tuning {
  /** Tokens of the text that were measured. */
  readonly tokens: number;
  /** From few bits to many. */
  readonly points: readonly TunePoint[];
  /** The point that was asked for; measured. */
  readonly chosen: TunePoint;
  /** The plan of the chosen point. */
  readonly plan: PlanJson;
  /** How predicted and calibrated divergences belong together: `predicted = factor * calibrated ^ exponent`. */
  readonly response: PowerLaw;
  /** Bits by group of 8 channels of the chosen point, of tokens that are not near. */
  readonly widths: TransformWidths;
}

const schema = v.strictObject({
  targetRatio: v.optional(positiveNumber),
  maxKl: v.optional(positiveNumber),
  tokens: v.optional(atLeast(3), 2048),
  chunk: v.optional(atLeast(1), 64),
  ...progressEntries,
});

/** The bits of the curve. */
const curve = [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6];
const [fewestBits, mostBits] = [leastBits, 8];

/**
 * Finds the bits of the codec `transform` for a number of bytes or a loss: the model's profile predicts the divergence of each number
 * of bits up to a power law, which a few measurements on the text fit.
 *
 * The KL divergence of a text is not that which the calibration predicts if its context is longer than the windows of the calibration, or
 * its tokens are others. Over two orders of magnitude both are on one line if both axes are logarithmic.
 *
 * @param model a model with a profile: see `useProfile`.
 * @throws InvalidArgumentError if the model has no profile, both targets or none are given, or a target is out of reach: the message
 *   says the nearest one. What `evaluate` throws.
 */
export async function tune(model: ModelLike, text: TextLike, options: TuneOptions): Promise<Tuning> {
  const {targetRatio, maxKl, ...measuring} = checkOptions('tune', schema, options);
  const profile = profileOfModel(modelOf(model));
  if (profile === undefined) {
    throw new InvalidArgumentError(
      'tune needs a profile of the model, and this one has none: make one with "eigenkv calibrate", and give it by await useProfile(model, profile).',
    );
  }
  if ((targetRatio === undefined) === (maxKl === undefined)) {
    throw new InvalidArgumentError(
      'tune: give targetRatio, such as 0.1, or maxKl, such as 0.01, and not both.',
    );
  }
  const first = targetRatio === undefined ? bitsOfKl(profile, maxKl!) : bitsOfRatio(profile, targetRatio);
  const around = [first, nearby(first, -1), nearby(first, 1)].filter(
    (bits, i, all) => all.indexOf(bits) === i,
  );
  const {tokens, measured} = await measure(model, text, around, measuring);
  let response = responseOf(profile, measured);
  let chosen = first;
  if (maxKl !== undefined) {
    // what is predicted is checked, and bits are added until the measured divergence is small enough
    const predicted = () => bitsOfKl(profile, inverse(response, maxKl));
    for (chosen = predicted(); ; chosen = Math.min(mostBits, Math.max(rounded(chosen + 0.1), predicted()))) {
      if (!measured.has(chosen)) {
        const found = (await measure(model, text, [chosen], measuring)).measured;
        for (const [bits, point] of found) measured.set(bits, point);
        response = responseOf(profile, measured);
      }
      if (measured.get(chosen)!.klDivergence <= maxKl || chosen === mostBits) break;
    }
  }
  const all = [...new Set([...curve, ...measured.keys()])].sort((a, b) => a - b);
  const points = all.map(bits => pointOf(profile, bits, measured));
  const plan = uniform(transform({bits: chosen})).toJSON();
  return {
    ...{tokens, points, plan, response},
    chosen: points.find(({bits}) => bits === chosen)!,
    widths: widthsByAge(profile, chosen).far,
  };
}

async function measure(
  model: ModelLike,
  text: TextLike,
  bits: readonly number[],
  options: Pick<TuneOptions, 'tokens' | 'chunk' | 'onProgress' | 'signal'>,
): Promise<{tokens: number; measured: Map<number, MeasuredPoint>}> {
  const {rows, tokens} = await evaluate(model, text, {
    ...options,
    plans: bits.map(of => transform({bits: of})),
  });
  const [full, ...others] = rows;
  const measured = new Map(
    others.map(
      ({klDivergence, klStderr, perplexity, changeStderr, top1Agreement, ratioToFloat32, drift}, i) => [
        bits[i]!,
        {
          ...{klDivergence, klStderr, perplexity, change: perplexity / full!.perplexity - 1, changeStderr},
          ...{top1Agreement, ratioToFloat32, drift},
        },
      ],
    ),
  );
  return {tokens, measured};
}

type MeasuredPoints = ReadonlyMap<number, MeasuredPoint>;

function responseOf(profile: TransformProfile, measured: MeasuredPoints): PowerLaw {
  return fitPowerLaw(responsesOf(profile, measured));
}

/** Measured divergences over calibrated ones. */
function responsesOf(profile: TransformProfile, measured: MeasuredPoints): MeasuredOf[] {
  return [...measured].map(([bits, {klDivergence, klStderr}]) => ({
    ...{x: divergenceByAge(profile, bits), y: klDivergence, stderr: klStderr},
  }));
}

/** Predictions of a larger relative standard error than this are left out: they would be noise. */
const largestError = 0.5;

function pointOf(profile: TransformProfile, bits: number, all: MeasuredPoints): TunePoint {
  const {bytesPerToken} = widthsByAge(profile, bits).far;
  const calibratedKl = divergenceByAge(profile, bits);
  const responses = responsesOf(profile, all);
  const {factor, exponent} = fitPowerLaw(responses);
  const isKnown = errorOfPowerLaw(responses, calibratedKl) <= largestError;
  const measured = all.get(bits);
  return {
    ...{bits, bytesPerToken: bytesPerToken + tableBytes(profile), calibratedKl},
    ratio: (bytesPerToken + tableBytes(profile)) / float32Bytes(profile),
    ...(isKnown && {predictedKl: factor * calibratedKl ** exponent}),
    ...(measured && {measured}),
  };
}

/** Bits by which the profile predicts this divergence, to a tenth. */
function bitsOfKl(profile: TransformProfile, kl: number): number {
  let [low, high] = [fewestBits, mostBits];
  if (divergenceByAge(profile, low) <= kl) return low;
  while (high - low > 0.01) {
    const middle = (low + high) / 2;
    if (divergenceByAge(profile, middle) > kl) low = middle;
    else high = middle;
  }
  return rounded(high);
}

function bitsOfRatio(profile: TransformProfile, ratio: number): number {
  const {numbers, scales} = sizesOf(profile);
  const otherBits = (8 * (scales + tableBytes(profile))) / numbers;
  const bits = Math.floor(100 * (32 * ratio - otherBits) + 1e-6) / 100;
  if (bits >= fewestBits && bits <= mostBits) return bits;
  const shareOf = (of: number) => `${((of + otherBits) / 32).toFixed(3)}x`;
  throw new InvalidArgumentError(
    `tune: targetRatio = ${ratio}; codes take from ${shareOf(fewestBits)} to ${shareOf(mostBits)} of float32 with this model.`,
  );
}

const nearby = (bits: number, step: number) => rounded(Math.min(mostBits, Math.max(fewestBits, bits + step)));
const rounded = (bits: number) => Math.ceil(10 * bits - 1e-9) / 10;

const float32Bytes = (profile: TransformProfile) => 4 * sizesOf(profile).numbers;
