import * as tf from '@tensorflow/tfjs';
import {decodeEncoding, floatBasis} from '../../../ops/encodings/decode.js';
import type {Encoding, LowRankEncoding} from '../../../ops/encodings/encoding.js';
import {tileTokens} from '../../../ops/encodings/lloyd_max_layout.js';
import {quantizeLloydMax} from '../../../ops/lloyd_max/index.js';
import {coefficients} from '../../../ops/low_rank/coefficients.js';
import {project} from '../../../ops/low_rank/index.js';
import {meanAt} from '../../past/decode.js';
import {type DenseBlock, type Past, type Segment, finerSegments, withSegments} from '../../past/past.js';
import {appendSegment, positionsOf, wholeBlocks, withoutFirst} from '../../past/segments.js';
import type {Context} from '../../contract.js';
import {bytesOf} from '../../keepers/budget.js';
import {type DepthLevels, type LevelWidths, roomOf, tokenBytes} from './level_bytes.js';
import {type TransformSide, transformSides} from './profile.js';
import type {SideTensors} from './tensors.js';
import {nearTokens} from './widths_by_age.js';

// Levels: the segments of one depth, from the most bits to the fewest. Tokens only ever lose bits: those that leave a level are coded again
// from its codes, in the same channels.

/** How a block is coded. */
export interface Coding extends DepthLevels {
  readonly tables: Readonly<Record<TransformSide, SideTensors>>;
}

/** The names of so many levels: the last is `stored`. */
export const levelNames = (count: number): string[] => [...finerSegments.slice(0, count - 1), 'stored'];

/** The most levels that a codec can have. */
const mostLevels = finerSegments.length + 1;

/** A segment of some level: all have one basis. */
export function anyLevel({held}: Past): Segment | undefined {
  return levelNames(mostLevels)
    .map(name => held[name])
    .find(segment => segment !== undefined);
}

/**
 * Stores a block by the age of tokens: the newest ones in the first of two levels, older ones in the last; all in the last if it is the only one.
 *
 * @param near the most tokens that are near; see `nearTokens`.
 */
export function storeByAge(
  past: Past,
  block: DenseBlock,
  near: number,
  coding: Coding,
  context: Context,
): Past {
  if (coding.levels.length === 1) return storeFinest(past, block, coding, context);
  const [first, last] = [levelNames(coding.levels.length)[0]!, coding.levels.length - 1];
  const newest = past.held[first];
  const before = newest?.tokens ?? 0;
  const held = before + block.tokens + (past.held['stored']?.tokens ?? 0);
  const room = roomOf(context, coding.shared);
  const budget = room === undefined ? context.budget : room / tokenBytes(coding.levels[0]!, true);
  const most = nearTokens(near, held, budget as number | undefined);
  const leaving = wholeBlocks(before + block.tokens - most, tileTokens);
  const again = Math.min(leaving, before);
  const directly = leaving - again;
  const left = again === 0 ? past : moved(past, 0, oldestOf(newest!, again), coding.levels, context);
  const channels = channelsOf(block, coding, past, context);
  const part = (level: number, from: number, tokens: number) =>
    run(block, from, tokens, side =>
      encodingOf(coding, level, side, block, slice(channels[side], from, tokens)),
    );
  return withBlock(
    left,
    {
      ...(directly > 0 && {stored: part(last, 0, directly)}),
      ...(block.tokens > directly && {[first]: part(0, directly, block.tokens - directly)}),
    },
    context,
  );
}

/** The oldest tokens of a segment leave it. */
export const oldestOf = (segment: Segment, tokens: number): Split => ({
  lowest: {...segment, tokens},
  rest: tokens === segment.tokens ? {...segment, tokens: 0} : withoutFirst(segment, tokens),
});

/** Stores a block in the first level. `lowered` makes room. */
export function storeFinest(past: Past, block: DenseBlock, coding: Coding, context: Context): Past {
  const [first] = levelNames(coding.levels.length);
  const channels = channelsOf(block, coding, past, context);
  const segment = run(block, 0, block.tokens, side => encodingOf(coding, 0, side, block, channels[side]));
  return withBlock(past, {[first!]: segment}, context);
}

/** Tokens that leave a level, and those that stay. */
export interface Split {
  readonly lowest: Segment;
  /** Without tokens if all leave. */
  readonly rest: Segment;
}

/** The past with the `lowest` tokens of a level in the next one. */
export function moved(
  past: Past,
  level: number,
  {lowest, rest}: Split,
  levels: readonly LevelWidths[],
  context: Context,
): Past {
  const names = levelNames(levels.length);
  const left = withSegments(past, {[names[level]!]: rest});
  return appended(left, names[level + 1]!, codedAgain(lowest, levels[level + 1]!), context);
}

/** Tokens in the bits of another level. */
function codedAgain(tokens: Segment, widths: LevelWidths): Segment {
  return run(tokens, 0, tokens.tokens, side => {
    const encoding = tokens[side] as LowRankEncoding;
    const z = decodeEncoding(encoding.latents, 0, tokens.tokens);
    return {...encoding, latents: quantizeLloydMax(z, widths[side])};
  });
}

function withBlock(past: Past, parts: Readonly<Record<string, Segment>>, context: Context): Past {
  const next = Object.entries(parts).reduce((to, [name, part]) => appended(to, name, part, context), past);
  return {...next, events: {...past.events, blocksEncoded: past.events.blocksEncoded + 1}};
}

/**
 * Appends tokens to a level. Only the last one has spare room, and not if a budget says how many bytes there may be: others are copied
 * whenever tokens leave them.
 */
function appended(past: Past, name: string, tokens: Segment, {budget, expectedTokens}: Context): Past {
  const before = past.held[name];
  const grows = name === 'stored' && (budget === undefined || bytesOf(budget) === undefined);
  const expected = grows ? expectedTokens : (before?.tokens ?? 0) + tokens.tokens;
  return {...past, held: {...past.held, [name]: appendSegment(before, tokens, expected)}};
}

/** Coordinates of a block's tokens in the bases: float32 `[batch, kvHeads, tokens, channels]`. */
function channelsOf(
  block: DenseBlock,
  {tables}: Coding,
  {tokensSeen}: Past,
  {rope}: Context,
): Readonly<Record<TransformSide, tf.Tensor4D>> {
  const of = (side: TransformSide): tf.Tensor4D => {
    const {analysis, basis, mean, rotatedMean} = tables[side];
    const turned = rotatedMean && meanAt(rotatedMean, block.tokens, block.positions, {rope, tokensSeen});
    const centred = [turned, mean].reduce<tf.Tensor4D>(
      (x, of) => (of === undefined ? x : tf.sub(x, of)),
      block[side].data,
    );
    return analysis ? project(centred, analysis) : coefficients(centred, floatBasis(basis));
  };
  return {keys: of('keys'), values: of('values')};
}

/** Some tokens of a segment, encoded anew, with their positions, scores and biases. */
function run(
  segment: Segment,
  from: number,
  tokens: number,
  encode: (side: TransformSide) => Encoding,
): Segment {
  const {positions, scores, bias} = segment;
  const [keys, values] = transformSides.map(encode) as [Encoding, Encoding];
  return {
    ...{keys, values, tokens},
    positions: typeof positions === 'number' ? positions + from : slice(positionsOf(segment), from, tokens),
    ...(scores && {scores: slice(scores, from, tokens)}),
    ...(bias && {bias: slice(bias, from, tokens)}),
  };
}

function slice(x: tf.Tensor4D, from: number, tokens: number): tf.Tensor4D {
  return tokens === x.shape[2] ? x : tf.slice(x, [0, 0, from, 0], [-1, -1, tokens, -1]);
}

function encodingOf(
  {tables, levels}: Coding,
  level: number,
  side: TransformSide,
  block: DenseBlock,
  channels: tf.Tensor4D,
): LowRankEncoding {
  const {basis, mean, rotatedMean} = tables[side];
  return {
    ...{kind: 'lowRank', dim: block[side].dim, rank: channels.shape[3], basis},
    latents: quantizeLloydMax(channels, levels[level]![side]),
    ...(mean && {mean}),
    ...(rotatedMean && {rotatedMean}),
  };
}
