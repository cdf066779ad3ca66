import {transformOf} from '../../cache/codecs/transform_profile/index.js';
import {registerProfile} from '../../cache/codecs/transform_profile/of_model.js';
import type {SideTransform, TransformProfile} from '../../cache/codecs/transform_profile/profile.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import {randomFloats} from './random.js';

export interface ProfileSizes {
  readonly depths: number;
  readonly kvHeads: number;
  readonly dim: number;
  readonly dimV?: number;
  readonly rope?: RopeConfig;
}

/** A profile of random, correlated channels, the first of which matter a thousand times as much as the last. */
export function randomProfile(
  {depths, kvHeads, dim, dimV = dim, rope}: ProfileSizes,
  seed = 1,
): TransformProfile {
  const side = (of: number, at: number, isKeys: boolean): SideTransform => {
    const heads = Array.from({length: kvHeads}, (_, head) =>
      transformOf(
        randomCovariance(of, at + 2 * head, 2),
        randomCovariance(of, at + 2 * head + 1, of ** 1.5),
        of,
      ),
    );
    const joined = (pick: (head: (typeof heads)[number]) => Float64Array) =>
      heads.flatMap(head => [...pick(head)]);
    return {
      kvHeads,
      dim: of,
      mean: isKeys ? randomFloats(at + 100, kvHeads * of, 0.3) : new Float32Array(kvHeads * of),
      ...(isKeys && rope && {rotatedMean: randomFloats(at + 101, kvHeads * of)}),
      analysis: Float32Array.from(joined(({analysis}) => analysis)),
      synthesis: Float32Array.from(joined(({synthesis}) => synthesis)),
      weights: Float64Array.from(joined(({weights}) => weights)),
      tokenScales: {mean: new Float64Array(kvHeads), deviation: new Float64Array(kvHeads).fill(0.3)},
    };
  };
  return {
    fingerprint: '0123456789abcdef',
    ...(rope && {rope}),
    tokens: 1000,
    gradientTokens: 1000,
    texts: ['random'],
    depths: Array.from({length: depths}, (_, depth) => ({
      keys: side(dim, seed + 1000 * depth, true),
      values: side(dimV, seed + 1000 * depth + 500, false),
    })),
  };
}

/** The id of a registered random profile: what options in JSON name it by. */
export const randomProfileId = (sizes: ProfileSizes) => registerProfile(randomProfile(sizes));

/** X^T X of a random matrix whose columns differ in size by up to `range`. */
function randomCovariance(dim: number, seed: number, range: number): Float64Array {
  const rows = 4 * dim;
  const x = randomFloats(seed, rows * dim);
  const covariance = new Float64Array(dim * dim);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j < dim; j++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += x[row * dim + i]! * x[row * dim + j]!;
      covariance[i * dim + j] = (sum / rows) * range ** (-(i + j) / (2 * dim));
    }
  }
  return covariance;
}
