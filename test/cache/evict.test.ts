import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {evict} from '../../cache/evict.js';
import {type Past, noEvents} from '../../cache/past.js';
import {dense, earlyTokens} from '../../cache/segments.js';
import {decodeForm} from '../../ops/decode/index.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';

describeOnBackends('evict', () => {
  it('keeps the sinks, the newest and the best of the rest, whatever their scores', () => {
    fc.assert(
      fc.property(
        fc.integer({min: 1, max: 400}),
        fc.integer({min: 1, max: 30}),
        fc.integer({min: 0, max: 6}),
        fc.integer({min: 1, max: 20}),
        fc.integer(),
        (budget, recentBudget, sinks, over, seed) => {
          const tokens = budget + recentBudget + over;
          const scores = randomFloats(seed, tokens).map(Math.abs);
          tf.tidy(() => {
            const past = evict(pastOf(scores), {budget, recentBudget, sinks, worth: score => score});
            const newest = past.recent.tokens;
            expect(newest, 'newest').to.equal(recentBudget);
            expect(past.recent.positions).to.equal(tokens - recentBudget);
            const heavy = past.held['heavy']!;
            expect(heavy.tokens).to.equal(budget - earlyTokens(budget));
            const worth = (position: number) => (position < sinks ? Infinity : scores[position]!);
            const best = Array.from({length: tokens - recentBudget}, (_, position) => position)
              .sort((a, b) => (worth(a) === worth(b) ? a - b : worth(b) - worth(a)))
              .slice(0, heavy.tokens);
            const positions = [...(heavy.positions as tf.Tensor4D).dataSync()];
            expect(ascending(positions)).to.deep.equal(ascending(best));
            expect([...decodeForm(heavy.keys, 0, heavy.tokens).dataSync()]).to.deep.equal(positions);
            expect(past.events.evictedTokens).to.equal(tokens - recentBudget - heavy.tokens);
          });
        },
      ),
      {numRuns: 300}, // tfjs' TopK errs in about one of a hundred calls that hold two infinities
    );
  });
});

/** One head whose keys and values are the tokens' positions. */
function pastOf(scores: Float32Array): Past {
  const tokens = scores.length;
  const data = tf.reshape<tf.Rank.R4>(tf.range(0, tokens), [1, 1, tokens, 1]);
  const recent = {keys: dense(data), values: dense(data), tokens, positions: 0};
  return {
    held: {},
    recent: {...recent, scores: tf.tensor4d(scores, [1, 1, tokens, 1])},
    tokensSeen: tokens,
    events: noEvents,
  };
}

const ascending = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);
