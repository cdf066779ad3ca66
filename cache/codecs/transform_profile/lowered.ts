import * as tf from '@tensorflow/tfjs';
import {tileTokens} from '../../../ops/encodings/lloyd_max_layout.js';
import type {Context} from '../../contract.js';
import {priceless} from '../../past/candidates.js';
import {splitByScore} from '../../past/choose.js';
import type {Past, Segment} from '../../past/past.js';
import {positionsOf, wholeBlocks} from '../../past/segments.js';
import {type DepthLevels, roomOf, tokenBytes} from './level_bytes.js';
import {anyLevel, levelNames, moved, oldestOf} from './levels.js';

/**
 * How many times as many tokens as the level before it a level holds at least, before tokens leave it. The attention that tokens get falls
 * about as 1 / rank, so that each bit less is worth it for tokens of four times the rank.
 */
const growth = 4;

/**
 * Moves the tokens of the lowest scores from level to level until a budget in bytes holds, or until each level but the last has only its
 * part: the rest is to be evicted.
 *
 * @param near how many of the newest tokens stay in the first level; half of the budget at most.
 * @param scoresOf returns a keeper's scores of a segment.
 */
export function lowered(
  past: Past,
  {levels, shared}: DepthLevels,
  near: number,
  context: Context,
  scoresOf: (segment: Segment) => tf.Tensor4D,
): Past {
  const room = roomOf(context, shared);
  if (room === undefined) return past;
  const names = levelNames(levels.length);
  const costs = levels.map(widths => tokenBytes(widths, anyLevel(past)?.scores !== undefined));
  const newest = Math.min(near, room / 2 / costs[0]!);
  const staying = stayingTokens(costs, room, newest);
  let over =
    names.reduce((sum, name, level) => sum + costs[level]! * (past.held[name]?.tokens ?? 0), 0) - room;
  let next = past;
  for (const [level, least] of staying.entries()) {
    const segment = next.held[names[level]!];
    if (over <= 0 || segment === undefined) continue;
    const gain = Math.max(costs[level]! - costs[level + 1]!, 1e-9); // a depth may have equal bits in two levels
    const leaving = Math.min(segment.tokens - least, tileTokens * Math.ceil(over / gain / tileTokens));
    if (leaving <= 0) continue;
    over -= leaving * gain;
    const split =
      leaving === segment.tokens
        ? oldestOf(segment, leaving)
        : splitByScore(
            segment,
            withNewest(scoresOf(segment), segment, past, level === 0 ? newest : 0),
            leaving,
          );
    next = moved(next, level, split, levels, context);
  }
  return next;
}

/** How many tokens each level but the last keeps at least. @param costs bytes per token of each level. */
function stayingTokens(costs: readonly number[], room: number, newest: number): number[] {
  const parts = costs.map((_, level) => growth ** level);
  const unit = room / parts.reduce((sum, part, level) => sum + part * costs[level]!, 0);
  return parts
    .slice(0, -1)
    .map((part, level) => wholeBlocks(Math.max(level === 0 ? newest : 0, part * unit), tileTokens));
}

/** Scores, those of the newest so many stored tokens above all others. */
function withNewest(scores: tf.Tensor4D, segment: Segment, past: Past, newest: number): tf.Tensor4D {
  const isNewest = tf.greaterEqual(positionsOf(segment), past.recent.positions - newest);
  return tf.where(isNewest, tf.fill(scores.shape, priceless), scores);
}
