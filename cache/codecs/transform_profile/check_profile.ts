import * as v from 'valibot';
import {InvalidArgumentError} from '../../../base/errors.js';
import {atLeast, checkOptions} from '../../../base/options.js';
import {ropeSchema} from '../../../ops/rotate/rope_schema.js';

const floats = v.instance(Float32Array, 'expected a Float32Array');
const doubles = v.instance(Float64Array, 'expected a Float64Array');

/** Without `analysis`, which is not read: profiles of the package calculate it at its first use. */
const sideFields = v.object({
  kvHeads: atLeast(1),
  dim: atLeast(1),
  mean: floats,
  rotatedMean: v.optional(floats),
  synthesis: floats,
  weights: doubles,
  tokenScales: v.object({mean: doubles, deviation: doubles}),
});

const side = v.pipe(
  sideFields,
  v.check(
    given => wrongArray(given) === undefined,
    ({input}) => `expected ${wrongArray(input)}`,
  ),
);

const schema = v.looseObject({
  fingerprint: v.string('expected the fingerprint of a model'),
  rope: v.optional(ropeSchema),
  tokens: atLeast(1),
  gradientTokens: atLeast(1),
  texts: v.array(v.string('expected names of texts'), 'expected names of texts'),
  depths: v.pipe(
    v.array(v.object({keys: side, values: side}), 'expected the transforms of each depth'),
    v.minLength(1, 'expected the transforms of each depth, one at least'),
  ),
});

/**
 * Checks a `TransformProfile` that someone else made.
 * @throws InvalidArgumentError that names the first field that is wrong.
 */
export function checkProfile(profile: unknown): void {
  const {rope, depths} = checkOptions('profile', schema, profile);
  const wrong = depths.findIndex(({keys}) => (keys.rotatedMean === undefined) !== (rope === undefined));
  if (wrong < 0) return;
  throw new InvalidArgumentError(
    `profile: depths.${wrong}.keys has ${rope === undefined ? 'a' : 'no'} rotatedMean; expected one exactly if the model has rotary positions, ` +
      'which are in rope.',
  );
}

/** What is expected of the first array that has another length or numbers that cannot be; undefined if all are right. */
function wrongArray({kvHeads, dim, ...arrays}: v.InferOutput<typeof sideFields>): string | undefined {
  const {mean, rotatedMean = mean, synthesis, weights, tokenScales} = arrays;
  const expected: [string, Float32Array | Float64Array, readonly number[]][] = [
    ['mean', mean, [kvHeads, dim]],
    ['rotatedMean', rotatedMean, [kvHeads, dim]],
    ['synthesis', synthesis, [kvHeads, dim, dim]],
    ['weights', weights, [kvHeads, dim]],
    ['tokenScales.mean', tokenScales.mean, [kvHeads]],
    ['tokenScales.deviation', tokenScales.deviation, [kvHeads]],
  ];
  const isWrong = (numbers: Float32Array | Float64Array, shape: readonly number[]) =>
    numbers.length !== shape.reduce((product, axis) => product * axis, 1) || !numbers.every(Number.isFinite);
  const wrong = expected.find(([, numbers, shape]) => isWrong(numbers, shape));
  if (wrong !== undefined) return `${wrong[0]} with finite numbers [${wrong[2].join(', ')}]`;
  return weights.some(weight => weight < 0) ? 'weights that are not negative' : undefined;
}
