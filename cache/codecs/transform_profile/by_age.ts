import * as tf from '@tensorflow/tfjs';
import {decodeEncoding, floatBasis} from '../../../ops/encodings/decode.js';
import type {LowRankEncoding} from '../../../ops/encodings/encoding.js';
import {scaleWords, tileTokens, wordsOfHead} from '../../../ops/encodings/lloyd_max_layout.js';
import {quantizeLloydMax} from '../../../ops/lloyd_max/index.js';
import {coefficients} from '../../../ops/low_rank/coefficients.js';
import {project} from '../../../ops/low_rank/index.js';
import {meanAt} from '../../past/decode.js';
import type {DenseBlock, Past, Segment} from '../../past/past.js';
import {appendSegment, positionsOf, wholeBlocks, withoutFirst} from '../../past/segments.js';
import type {Budget, Context} from '../../contract.js';
import {bytesOf} from '../../keepers/budget.js';
import {isLent} from '../../sharing/shared_tensors.js';
import {type TransformSide, transformSides} from './profile.js';
import type {SideTensors} from './tensors.js';
import type {SideWidths} from './widths.js';
import {nearTokens} from './widths_by_age.js';

/** How one side of one depth is coded. */
export interface SideCoder {
  readonly tables: SideTensors;
  /** Bits of tokens in `stored`. */
  readonly widths: SideWidths;
  /** Bits of tokens in `near`, the newest ones. They have the same channels. */
  readonly nearWidths: SideWidths;
}

type Coders = Readonly<Record<TransformSide, SideCoder>>;

/**
 * Stores a block by the age of tokens: the newest ones in the segment `near`, in codes of more bits, and older ones in `stored`. Tokens that
 * leave `near` are coded again from its codes.
 *
 * @param near the most tokens that are near; see `nearTokens`.
 */
export function storeByAge(
  past: Past,
  block: DenseBlock,
  near: number,
  coders: Coders,
  context: Context,
): Past {
  const {near: newest, ...others} = past.held;
  const before = newest?.tokens ?? 0;
  const held = before + block.tokens + (others['stored']?.tokens ?? 0);
  const leaving = wholeBlocks(
    before + block.tokens - nearTokens(near, held, tokensOfBudget(coders, context.budget)),
    tileTokens,
  );
  const again = Math.min(leaving, before);
  const directly = leaving - again;
  const channels = channelsOf(block, coders, past, context);
  const fresh = (widths: 'widths' | 'nearWidths', from: number, tokens: number): Segment =>
    run(block, from, tokens, side => {
      const {tables} = coders[side];
      const z = part(channels[side], from, tokens);
      return encodingOf(tables, block[side].dim, z, coders[side][widths]);
    });
  const next: Record<string, Segment> = {...others};
  const append = (name: 'stored' | 'near', segment: Segment, expectedTokens = context.expectedTokens) => {
    next[name] = appendSegment(next[name], segment, expectedTokens);
  };
  if (again > 0) append('stored', codedAgain(newest!, again, coders));
  if (directly > 0) append('stored', fresh('widths', 0, directly));
  if (before > again) next['near'] = again === 0 ? newest! : withoutFirst(newest!, again);
  const arrived = block.tokens - directly;
  // without spare room: near tokens are copied anyway when some of them leave
  if (arrived > 0) append('near', fresh('nearWidths', directly, arrived), before - again + arrived);
  return {...past, held: next, events: {...past.events, blocksEncoded: past.events.blocksEncoded + 1}};
}

/** A keeper's budget in tokens of `near`. Those of a budget in bytes have a position and a score as well. */
function tokensOfBudget(coders: Coders, budget: Budget | undefined): number | undefined {
  const bytes = budget === undefined ? undefined : bytesOf(budget);
  if (bytes === undefined) return budget as number | undefined;
  let [perToken, shared] = [0, 0];
  for (const side of transformSides) {
    const {tables, nearWidths} = coders[side];
    const words = nearWidths.reduce((sum, ofHead) => sum + wordsOfHead(ofHead) + scaleWords, 0);
    perToken += (4 * words) / tileTokens + 4 * nearWidths.length;
    if ('kind' in tables.basis) continue; // lent by the model
    const own = [tables.basis, tables.mean].filter(tensor => tensor !== undefined && !isLent(tensor));
    shared += own.reduce((sum, tensor) => sum + (4 * tensor!.size) / tensor!.shape[0], 0);
  }
  return Math.max(0, bytes - shared) / perToken;
}

/** Coordinates of a block's tokens in the bases: float32 `[batch, kvHeads, tokens, channels]`. */
function channelsOf(
  block: DenseBlock,
  coders: Coders,
  {tokensSeen}: Past,
  {rope}: Context,
): Readonly<Record<TransformSide, tf.Tensor4D>> {
  const of = (side: TransformSide): tf.Tensor4D => {
    const {analysis, basis, mean, rotatedMean} = coders[side].tables;
    const turned = rotatedMean && meanAt(rotatedMean, block.tokens, block.positions, {rope, tokensSeen});
    const centred = [turned, mean].reduce<tf.Tensor4D>(
      (x, of) => (of === undefined ? x : tf.sub(x, of)),
      block[side].data,
    );
    return analysis ? project(centred, analysis) : coefficients(centred, floatBasis(basis));
  };
  return {keys: of('keys'), values: of('values')};
}

/** The first tokens of the segment `near` as `stored` has them. */
function codedAgain(near: Segment, tokens: number, coders: Coders): Segment {
  return run(near, 0, tokens, side => {
    const encoding = near[side] as LowRankEncoding;
    const z = decodeEncoding(encoding.latents, 0, tokens);
    return {...encoding, latents: quantizeLloydMax(z, coders[side].widths)};
  });
}

/** Some tokens of a segment, encoded anew, with their positions and scores. */
function run(
  segment: Segment,
  from: number,
  tokens: number,
  encode: (side: TransformSide) => LowRankEncoding,
): Segment {
  const {positions, scores} = segment;
  const [keys, values] = transformSides.map(encode) as [LowRankEncoding, LowRankEncoding];
  return {
    ...{keys, values, tokens},
    positions: typeof positions === 'number' ? positions + from : part(positionsOf(segment), from, tokens),
    ...(scores && {scores: part(scores, from, tokens)}),
  };
}

function part(x: tf.Tensor4D, from: number, tokens: number): tf.Tensor4D {
  return tokens === x.shape[2] ? x : tf.slice(x, [0, 0, from, 0], [-1, -1, tokens, -1]);
}

function encodingOf(
  {basis, mean, rotatedMean}: SideTensors,
  dim: number,
  channels: tf.Tensor4D,
  widths: SideWidths,
): LowRankEncoding {
  return {
    ...{kind: 'lowRank', dim, rank: channels.shape[3], basis},
    latents: quantizeLloydMax(channels, widths),
    ...(mean && {mean}),
    ...(rotatedMean && {rotatedMean}),
  };
}
