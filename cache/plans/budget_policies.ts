import {InvalidArgumentError} from '../../base/errors.js';
import {groupsOfRow, wordsOfRow, type IntegerBits} from '../../ops/encodings/integer.js';
import {tileTokens} from '../../ops/encodings/lloyd_max_layout.js';
import {ropeFrequencies} from '../../ops/rotate/rope.js';
import {type LayerShape, uncompressedNumbers} from '../binding/layer_shape.js';
import type {TransformProfile} from '../codecs/transform_profile/profile.js';
import {predictedDivergences, sizesOf, widthsFor} from '../codecs/transform_profile/widths.js';
import {agesByDefault, nearBitsOf, nearTokens} from '../codecs/transform_profile/widths_by_age.js';
import type {Policy} from '../contract.js';
import {mostHeld} from '../past/drop_unseen.js';
import {grownCapacity, moveTokens, wholeBlocks} from '../past/segments.js';
import {tableRows} from '../past/rope_tables.js';
import {full} from '../policies/full.js';
import {quantized} from '../policies/quantized.js';
import {transform} from '../policies/transform.js';
import type {BudgetSize} from './budget_size.js';

/** A policy for each depth, and what they cost in the unit of the budget. */
interface Choice {
  readonly policies: readonly Policy[];
  readonly cost: number;
}

/**
 * The policies of the least loss within a budget, one for each depth: see `budget`.
 * @throws InvalidArgumentError if the budget is too small or too large for the model.
 */
export function policiesWithin(
  size: BudgetSize,
  shapes: readonly LayerShape[],
  profile: TransformProfile | undefined,
): readonly Policy[] {
  const limit = limitOf(size, shapes);
  const uniform = (policy: Policy, bytesOf: (shape: LayerShape) => number): Choice => ({
    policies: shapes.map(() => policy),
    cost: sum(
      shapes.map(shape => costOf(heldSize(size, shape, policy), policy, bytesOf(shape), denseBytes(shape))),
    ),
  });
  const exact = uniform(full(), denseBytes);
  if (limit > exact.cost * (1 + 1e-9)) throw tooLarge(size, shapes, exact.cost);
  if (limit >= exact.cost * (1 - 1e-9)) return exact.policies;
  const integers = ladder.map(bits =>
    uniform(quantized({...bits, groupSize}), shape => integerBytes(bits, shape)),
  );
  const fits = integers.find(({cost}) => cost <= limit);
  if (profile !== undefined && fits !== undefined && fits === integers[0]) {
    return someExact(size, shapes, profile, fits, limit);
  }
  const coded = profile && transformWithin(size, shapes, profile, limit);
  if (coded !== undefined && coded.cost <= limit * (1 + 1e-6)) return coded.policies;
  if (fits !== undefined) return fits.policies; // with a profile, too: of tiny heads, the table of positions takes more than codes
  const least = Math.min(integers.at(-1)!.cost, exact.cost, coded?.cost ?? Infinity);
  throw tooSmall(size, shapes, least, profile !== undefined);
}

/**
 * Bits of keys and values, from the least loss to the fewest bytes. On SmolLM2, bits of keys cost seven times the KL divergence of the same
 * bits of values, and another bit of keys gains far more than groups of half the size.
 */
const ladder: readonly {readonly keyBits: IntegerBits; readonly valueBits: IntegerBits}[] = [
  {keyBits: 8, valueBits: 8},
  {keyBits: 8, valueBits: 6},
  {keyBits: 8, valueBits: 5},
  {keyBits: 6, valueBits: 6},
  {keyBits: 6, valueBits: 5},
  {keyBits: 6, valueBits: 4},
  {keyBits: 5, valueBits: 4},
  {keyBits: 5, valueBits: 3},
  {keyBits: 4, valueBits: 3},
  {keyBits: 4, valueBits: 2},
  {keyBits: 3, valueBits: 2},
  {keyBits: 2, valueBits: 2},
];

/** Numbers that share a scale. */
const groupSize = 64;

/** Fewer bits than these are not worth their loss. */
export const leastBits = 0.5;

/** `transform` with as many bits as fit, in hundredths, or with the fewest if these do not. */
function transformWithin(
  size: BudgetSize,
  shapes: readonly LayerShape[],
  profile: TransformProfile,
  limit: number,
): Choice {
  const tables = tableCost(size, profile);
  const held = mostOf(shapes.map(shape => heldSize(size, shape, transform())));
  const dense = sum(shapes.map(denseBytes));
  const costAt = (hundredths: number) => tables + transformCost(held, profile, hundredths / 100, dense);
  let [fits, tooMany] = [100 * leastBits, 801];
  while (tooMany - fits > 1) {
    const middle = Math.floor((fits + tooMany) / 2);
    if (costAt(middle) <= limit) fits = middle;
    else tooMany = middle;
  }
  const policy = transform({bits: fits / 100, near: nearOf(held)});
  return {policies: shapes.map(() => policy), cost: costAt(fits)};
}

/**
 * How many tokens are near. At equal bytes, an eighth of the text had the least divergence on SmolLM2 (128 of 1,024 tokens and 512 of
 * 4,096, of 64, 128, 256 and 512).
 */
function nearOf(size: BudgetSize): number {
  return 'bytes' in size ? Math.min(512, wholeBlocks(size.tokens / 8, tileTokens)) : agesByDefault.near;
}

function transformCost(size: BudgetSize, profile: TransformProfile, bits: number, dense: number): number {
  const {numbers, scales} = sizesOf(profile);
  const bytesAt = (of: number) => (of * numbers) / 8 + scales;
  if (!('bytes' in size)) return bytesAt(bits);
  const {sinks, store} = transform({bits});
  const stored = wholeBlocks(size.tokens - sinks, store.moveTokens);
  const newest = nearTokens(nearOf(size), stored);
  const far = costOf(size, {sinks, store}, bytesAt(bits), dense, stored - newest);
  return far + bytesAt(nearBitsOf(bits, agesByDefault.extraBits)) * newest;
}

/** What the table of rotary positions takes, by which attention rotates the mean of stored keys: one for all depths. */
function tableCost(size: BudgetSize, profile: TransformProfile): number {
  return tableBytes(profile) * ('bytes' in size ? tableRows(size.tokens) : 1);
}

/** Bytes of the cosines and sines of one position. */
export function tableBytes({rope, depths}: TransformProfile): number {
  return rope === undefined ? 0 : 8 * ropeFrequencies(rope, depths[0]!.keys.dim).frequencies.length;
}

/** Makes depths exact, those first that gain most per byte, as long as bytes are left. */
function someExact(
  size: BudgetSize,
  shapes: readonly LayerShape[],
  profile: TransformProfile,
  {policies, cost}: Choice,
  limit: number,
): readonly Policy[] {
  const losses = predictedDivergences(profile, widthsFor(profile, {bits: 8}).depths);
  const steps = shapes.map((shape, depth) => {
    const dense = denseBytes(shape);
    const costAs = (policy: Policy, perToken: number) =>
      costOf(heldSize(size, shape, policy), policy, perToken, dense);
    const bytes = costAs(full(), dense) - costAs(policies[depth]!, integerBytes(ladder[0]!, shape));
    return {depth, bytes, gain: (losses[depth]!.keys + losses[depth]!.values) / bytes};
  });
  const chosen = [...policies];
  let left = limit - cost;
  for (const {depth, bytes} of steps.sort((a, b) => b.gain - a.gain)) {
    if (bytes > left) continue;
    chosen[depth] = full();
    left -= bytes;
  }
  return chosen;
}

/** A size of the tokens that a depth holds of a text: no more than its window. */
function heldSize(size: BudgetSize, {window}: LayerShape, {store}: Policy): BudgetSize {
  if (!('bytes' in size) || window === undefined) return size;
  return {...size, tokens: Math.min(size.tokens, mostHeld(window, store.blockTokens))};
}

/** The size of the most tokens. */
function mostOf(sizes: readonly BudgetSize[]): BudgetSize {
  const tokensOf = (size: BudgetSize) => ('bytes' in size ? size.tokens : 0);
  return sizes.reduce((most, size) => (tokensOf(size) > tokensOf(most) ? size : most));
}

/**
 * What tokens of a policy cost in the unit of the budget: bytes per token of a long text, or the most bytes that the cache of a text
 * of so many tokens takes after any step, whatever its steps are and whether or not the cache was told its length.
 *
 * @param perToken bytes of a stored token.
 * @param dense bytes of an exact token.
 * @param stored how many tokens of a text take these bytes. Default: all that do not wait.
 */
function costOf(
  size: BudgetSize,
  {sinks, store}: Pick<Policy, 'sinks' | 'store'>,
  perToken: number,
  dense: number,
  stored = 'bytes' in size ? wholeBlocks(size.tokens - sinks, store.moveTokens) : 0,
): number {
  if (!('bytes' in size)) return perToken;
  if (store.exact === true) return dense * grownCapacity(size.tokens);
  const rows = store.blockTokens * Math.ceil(grownCapacity(stored) / store.blockTokens);
  // behind the stored tokens wait fewer than are moved at once, in a buffer with room for `moveTokens` more
  return dense * (sinks + store.moveTokens - 1 + moveTokens) + perToken * (stored === 0 ? 0 : rows);
}

function limitOf(size: BudgetSize, shapes: readonly LayerShape[]): number {
  if ('ratio' in size) return size.ratio * float32Bytes(shapes);
  return 'bytesPerToken' in size ? size.bytesPerToken : size.bytes;
}

/** Bytes per token of one depth: codes, and a word for the scale and the zero point of each group. */
function integerBytes(
  {keyBits, valueBits}: (typeof ladder)[number],
  {kvHeads, dim, dimV}: LayerShape,
): number {
  const keyWords = wordsOfRow({dim, bits: keyBits}) + dim / groupSize;
  const valueWords =
    wordsOfRow({dim: dimV, bits: valueBits}) + groupsOfRow({dim: dimV, groupAxis: 'token', groupSize});
  return 4 * kvHeads * (keyWords + valueWords);
}

const denseBytes = ({kvHeads, dim, dimV}: LayerShape) => 4 * kvHeads * (dim + dimV);

/** Bytes per token that ratios are relative to: those of uncompressed heads. */
const float32Bytes = (shapes: readonly LayerShape[]) =>
  sum(shapes.map(shape => 4 * shape.kvHeads * uncompressedNumbers(shape)));

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

function tooSmall(
  size: BudgetSize,
  shapes: readonly LayerShape[],
  least: number,
  hasProfile: boolean,
): InvalidArgumentError {
  return new InvalidArgumentError(
    `A budget of ${described(size)} is too small for this model; the least is ${atLeastIn(size, least, shapes)}` +
      `${hasProfile ? '. Evict tokens' : ' without a profile. Calibrate the model, or evict tokens'} as well: h2o:store=integer,bits=4.`,
  );
}

function tooLarge(size: BudgetSize, shapes: readonly LayerShape[], most: number): InvalidArgumentError {
  return new InvalidArgumentError(
    `A budget of ${described(size)} is more than this model's cache takes; the most is ${atMostIn(size, most, shapes)}, all of it exact.`,
  );
}

function described(size: BudgetSize): string {
  if ('ratio' in size) return `${size.ratio}x of float32`;
  if ('bytesPerToken' in size) return `${size.bytesPerToken} bytes per token`;
  return `${size.bytes} bytes at ${size.tokens} tokens`;
}

/** A cost as a budget of the same kind, rounded up so that it is enough. */
function atLeastIn(size: BudgetSize, cost: number, shapes: readonly LayerShape[]): string {
  if (!('ratio' in size)) return `${Math.ceil(cost - 1e-6)} bytes`;
  return `${Math.ceil((1000 * cost) / float32Bytes(shapes) - 1e-6) / 1000}x`;
}

function atMostIn(size: BudgetSize, cost: number, shapes: readonly LayerShape[]): string {
  if (!('ratio' in size)) return `${Math.floor(cost + 1e-6)} bytes`;
  return `${Math.floor((1000 * cost) / float32Bytes(shapes) + 1e-6) / 1000}x`;
}
