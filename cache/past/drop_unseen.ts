import * as tf from '@tensorflow/tfjs';
import {readableNumbers} from '../../ops/host_numbers.js';
import {bestOf} from './choose.js';
import {earlyTokens} from './evict.js';
import {type Past, type Segment, oldestSeen, tokensHeld, withSegments} from './past.js';
import {
  blockTokensOf,
  inseparableTokensOf,
  moveTokens,
  positionsOf,
  withoutFirst,
  withoutOldest,
} from './segments.js';
import {settled} from './undecided.js';

/** The most tokens per head that a depth holds or has room for between steps: its window, what waits to be dropped, and blocks at both ends. */
export function mostHeld(window: number, blockTokens: number): number {
  return window + moveTokens + 2 * blockTokens;
}

/**
 * Drops tokens that no later query sees, in whole blocks of their encoding and not at each step: a layer with a sliding window holds little more
 * than its window, whatever the policy. Pure; inside the caller's tidy.
 *
 * Tokens with positions of their own are dropped where every head has as many to drop. On GPU backends, which cannot be read synchronously, each
 * segment keeps as many of these as there are positions between the window's begin and the recent tokens.
 *
 * @param fresh tokens of the step that just ended. Positions are looked at when some of a dozen tokens have come.
 */
export function dropUnseen(past: Past, window: number, fresh: number): Past {
  const oldest = oldestSeen(past, window);
  if (oldest === 0) return past;
  const least = earlyTokens(window) + 1;
  const isDue = past.tokensSeen % least < fresh;
  const held = Object.entries(past.held).map(([name, segment]): [string, Segment] => [
    name,
    typeof segment.positions === 'number'
      ? laterOf(segment, oldest - segment.positions, least)
      : isDue
        ? seenOf(segment, segment.positions, oldest, past.recent.positions, least)
        : segment,
  ]);
  const unseen = oldest - past.recent.positions;
  const recent = unseen >= least ? withoutOldest(past.recent, unseen) : past.recent;
  const seen = withSegments({...past, recent}, Object.fromEntries(held));
  return tokensHeld(seen) === tokensHeld(past) ? seen : settled(seen);
}

/** A run without its first `unseen` tokens, or as many of them as are whole blocks. */
function laterOf(segment: Segment, unseen: number, least: number): Segment {
  if (unseen >= segment.tokens) return {...segment, tokens: 0};
  const block = blockTokensOf(segment);
  const dropped = Math.floor(unseen / block) * block;
  return dropped >= least ? withoutFirst(segment, dropped) : segment;
}

/** The tokens of a segment that a head may see from position `oldest` on, and as many in every other head. */
function seenOf(
  segment: Segment,
  positions: tf.Tensor4D,
  oldest: number,
  end: number,
  least: number,
): Segment {
  const {tokens} = segment;
  const block = blockTokensOf(segment);
  const most = mostSeen(positions, tokens, inseparableTokensOf(segment), oldest) ?? end - oldest + block;
  const kept = Math.min(tokens, Math.ceil(Math.max(0, most) / block) * block);
  if (tokens - kept < Math.min(least, tokens)) return segment;
  const at = positionsOf(segment);
  return bestOf(segment, tf.where(tf.less(at, oldest), tf.zerosLike(at), tf.add<tf.Tensor4D>(at, 1)), kept);
}

/** The most tokens of a head in blocks with a token at `oldest` or later; undefined if positions cannot be read. */
function mostSeen(positions: tf.Tensor4D, tokens: number, block: number, oldest: number): number | undefined {
  const numbers = readableNumbers(positions);
  if (numbers === undefined) return undefined;
  const [batch, kvHeads, rows] = positions.shape;
  let most = 0;
  for (let head = 0; head < batch * kvHeads; head++) {
    let seen = 0;
    for (let from = 0; from < tokens; from += block) {
      const at = head * rows + from;
      if (numbers.subarray(at, at + block).some(position => position >= oldest)) seen += block;
    }
    most = Math.max(most, seen);
  }
  return most;
}
