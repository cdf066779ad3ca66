import * as v from 'valibot';
import {InvalidArgumentError} from '../../../base/errors.js';
import {checkOptions, probability} from '../../../base/options.js';
import type {
  SideTransform,
  TokenScales,
  TransformProfile,
} from '../../../cache/codecs/transform_profile/index.js';
import type {Calibration} from '../calibrate.js';
import type {DepthTransformStatistics} from './statistics.js';
import {defaultShrinks, keyTransform, valueTransform} from './head_transforms.js';

export interface TransformProfileOptions {
  /**
   * How much of the metric of each head's keys is replaced by the same weight for all directions, above 0 and at most 1: a metric from few
   * tokens is noisy. Default 0.1.
   */
  readonly keyShrink?: number;
  /** How much of the metric of each head's values is replaced by that of the layer's output, above 0 and at most 1. Default 0.5. */
  readonly valueShrink?: number;
  /** Names of the calibration's texts, for people. Default: none. */
  readonly texts?: readonly string[];
}

const schema = v.strictObject({
  keyShrink: v.optional(probability, defaultShrinks.keys),
  valueShrink: v.optional(probability, defaultShrinks.values),
  texts: v.optional(v.array(v.string('expected names of texts')), []),
});

/**
 * The transforms of a model from its calibration: for each depth, key head and side the channels in which errors are uncorrelated in
 * what they cost. See `transformOf` and `SideTransform`.
 *
 * @throws InvalidArgumentError if the calibration has no gradients, or from fewer tokens than a head has dimensions, or numbers that are
 *   not finite, or tokens that are all alike; or an option is not allowed.
 */
export function transformProfile(
  calibration: Calibration,
  options: TransformProfileOptions = {},
): TransformProfile {
  const {keyShrink, valueShrink, texts} = checkOptions('transformProfile', schema, options);
  const {fingerprint, transform} = calibration;
  if (transform === undefined) {
    throw new InvalidArgumentError(
      'The calibration has no statistics of transforms; calibrate again with gradientTokens (eigenkv calibrate --gradients 3072), on texts ' +
        'of more than 4 tokens. Models whose depths rotate differently (SmolLM3, Gemma 3) have none: take quantized, or transform without a profile.',
    );
  }
  const {rope, tokens, gradientTokens, scaleTokens, depths} = transform;
  const dim = Math.max(...calibration.depths.map(depth => depth.dim));
  if (Math.min(tokens, gradientTokens) < dim) {
    throw new InvalidArgumentError(
      `The calibration has ${tokens} tokens and gradients of ${gradientTokens} tokens; transforms of heads with ${dim} numbers need at ` +
        `least ${dim} of each, and are good with 3,000. (The first 4 tokens of a text do not count, and those of its last step of 64 have ` +
        'no gradients.) Calibrate with longer texts and more gradientTokens.',
    );
  }
  for (const [depth, {sums}] of depths.entries()) {
    const wrong = Object.entries(sums).find(([, numbers]) => !numbers.every(Number.isFinite));
    if (wrong === undefined) continue;
    throw new InvalidArgumentError(
      `The calibration has NaN or infinity at depth ${depth}, in ${wrong[0]}: look at the model's weights, and calibrate again.`,
    );
  }
  expectVaried(depths, scaleTokens);
  return {
    ...{fingerprint, tokens, gradientTokens, texts},
    ...(rope && {rope}),
    depths: depths.map(depth => {
      const {kvHeads} = depth;
      const heads = Array.from({length: kvHeads}, (_, head) => head);
      const keys = heads.map(head => keyTransform(depth, rope, gradientTokens, head, keyShrink));
      const values = heads.map(head => valueTransform(depth, gradientTokens, head, valueShrink));
      const side = (of: readonly (typeof values)[number][]): Omit<SideTransform, 'mean' | 'tokenScales'> => ({
        kvHeads,
        dim: depth.dim,
        analysis: Float32Array.from(joined(of.map(({analysis}) => analysis))),
        synthesis: Float32Array.from(joined(of.map(({synthesis}) => synthesis))),
        weights: joined(of.map(({weights}) => weights)),
      });
      return {
        keys: {
          ...side(keys),
          mean: Float32Array.from(joined(keys.map(({mean}) => mean))),
          ...(rope && {rotatedMean: Float32Array.from(joined(keys.map(({rotatedMean}) => rotatedMean!)))}),
          tokenScales: tokenScales(depth.sums.keyScales, scaleTokens),
        },
        values: {
          ...side(values),
          mean: new Float32Array(kvHeads * depth.dim),
          tokenScales: tokenScales(depth.sums.valueScales, scaleTokens),
        },
      };
    }),
  };
}

/** The values of texts have token scales that deviate by 0.1 and more in some head. */
const leastDeviation = 0.01;

/** @throws InvalidArgumentError if tokens are all alike, as those of a constant text: directions and scales of others would be unknown. */
function expectVaried(depths: readonly DepthTransformStatistics[], scaleTokens: number): void {
  const deviations = depths.flatMap(({sums}) => [...tokenScales(sums.valueScales, scaleTokens).deviation]);
  if (Math.max(...deviations) >= leastDeviation) return;
  throw new InvalidArgumentError(
    'The calibration has the same values for all of its tokens, in every head: one token repeated, perhaps; calibrate on texts, of ' +
      'the kinds that the model will read.',
  );
}

/** From the sums of log2 s and of its square, `[kvHeads, 2]`. */
function tokenScales(sums: Float64Array, tokens: number): TokenScales {
  const moment = (which: number) =>
    sums.filter((_, i) => i % 2 === which).map(sum => sum / Math.max(tokens, 1));
  const [mean, squares] = [moment(0), moment(1)];
  return {mean, deviation: mean.map((x, i) => Math.sqrt(Math.max(squares[i]! - x * x, 0)))};
}

function joined(parts: readonly Float64Array[]): Float64Array {
  return Float64Array.from(parts.flatMap(part => [...part]));
}
