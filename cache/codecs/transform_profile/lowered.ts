import * as tf from '@tensorflow/tfjs';
import {tileTokens} from '../../../ops/encodings/lloyd_max_layout.js';
import type {Context} from '../../contract.js';
import {priceless} from '../../past/candidates.js';
import {splitByScore} from '../../past/choose.js';
import type {Past, Segment} from '../../past/past.js';
import {positionsOf, wholeBlocks} from '../../past/segments.js';
import {type DepthLevels, roomOf, tokenBytes} from './level_bytes.js';
import {type Split, anyLevel, levelNames, moved, oldestOf} from './levels.js';

/**
 * Moves the tokens of the lowest scores down until a budget in bytes holds: from the first level to the second until only the newest tokens are
 * left there, then from the second to the third, and so on. What is over when all others are in the last level is to be evicted.
 *
 * Bits fall as far as they can before any token goes: on SmolLM2 a token in the fewest bits is worth more than what its bytes give to others.
 *
 * @param near how many of the newest tokens stay in the first level; half of the budget at most.
 * @param scoresOf returns a keeper's scores of a segment; undefined if it goes by age.
 */
export function lowered(
  past: Past,
  {levels, shared}: DepthLevels,
  near: number,
  context: Context,
  scoresOf: ((segment: Segment) => tf.Tensor4D) | undefined,
): Past {
  const room = roomOf(context, shared);
  if (room === undefined) return past;
  const names = levelNames(levels.length);
  const costs = levels.map(widths => tokenBytes(widths, anyLevel(past)?.scores !== undefined));
  const newest = wholeBlocks(Math.min(near, room / 2 / costs[0]!), tileTokens);
  let over = names.reduce((sum, name, at) => sum + costs[at]! * (past.held[name]?.tokens ?? 0), 0) - room;
  let next = past;
  for (const [level, name] of names.slice(0, -1).entries()) {
    const segment = next.held[name];
    if (over <= 0 || segment === undefined) continue;
    const gain = Math.max(costs[level]! - costs[level + 1]!, 1e-9); // a depth may have equal bits in two levels
    const stays = level === 0 ? newest : 0;
    const leaving = Math.min(segment.tokens - stays, tileTokens * Math.ceil(over / gain / tileTokens));
    if (leaving <= 0) continue;
    over -= leaving * gain;
    next = moved(
      next,
      level,
      lowestOf(segment, leaving, past.recent.positions - stays, scoresOf),
      levels,
      context,
    );
  }
  return next;
}

/** @param from the first position of tokens that stay whatever their scores. */
function lowestOf(
  segment: Segment,
  leaving: number,
  from: number,
  scoresOf: ((segment: Segment) => tf.Tensor4D) | undefined,
): Split {
  if (leaving === segment.tokens || scoresOf === undefined) return oldestOf(segment, leaving);
  const scores = scoresOf(segment);
  const stays = tf.greaterEqual(positionsOf(segment), from);
  return splitByScore(segment, tf.where(stays, tf.fill(scores.shape, priceless), scores), leaving);
}
