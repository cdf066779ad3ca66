import {makePolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {type Past, segmentsOf, tokensHeld} from '../../cache/past/past.js';
import {blockTokensOf} from '../../cache/past/segments.js';
import {attendOverItself} from '../../layers/cached_attention.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {rotate} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import {rejection} from '../base/files/rejection.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {expectClose} from '../support/tensors.js';
import {randomProfileId} from '../support/transform_profile.js';
import {policyVariants, variantName} from './variants.js';

const [batch, heads, kvHeads, dim, tokens] = [2, 4, 2, 16, 40];
const layerShape = {depth: 0, heads, kvHeads, dim, dimV: dim};
const scale = 0.3;

function randomText(length = tokens): Text {
  return {
    queries: tf.randomNormal<tf.Rank.R4>([batch, heads, length, dim], 0, 1, 'float32', 1),
    keys: tf.randomNormal<tf.Rank.R4>([batch, kvHeads, length, dim], 0, 1, 'float32', 2),
    values: tf.randomNormal<tf.Rank.R4>([batch, kvHeads, length, dim], 0, 1, 'float32', 3),
  };
}

/** So long that tokens leave a window by the block. */
const longTokens = 192;

/** Scores `[batch, heads, tokens, tokens]` of tokens within a window, and -1e9; keys have no rotation. Inside the caller's tidy. */
function maskedScores({queries, keys}: Text, window: number): tf.Tensor {
  const length = keys.shape[2];
  const scores = tf.mul(tf.matMul(queries, toQueryHeads(keys), false, true), scale);
  const band = tf.linalg.bandPart(tf.ones([length, length]), window - 1, 0);
  return tf.add(scores, tf.mul(tf.sub(band, 1), 1e9));
}

/** Each key head once for each of its query heads. */
function toQueryHeads(x: tf.Tensor4D): tf.Tensor {
  const [, , length] = x.shape;
  const ofHeads = tf.reshape(x, [batch, kvHeads, 1, length, dim]);
  return tf.reshape(tf.tile(ofHeads, [1, 1, heads / kvHeads, 1, 1]), [batch, heads, length, dim]);
}

const attentionWithin = (text: Text, window: number) =>
  tf.tidy(() => tf.matMul(tf.softmax(maskedScores(text, window)), toQueryHeads(text.values)));

type Text = {queries: tf.Tensor4D; keys: tf.Tensor4D; values: tf.Tensor4D};

function part({queries, keys, values}: Text, from: number, count: number): Text {
  const cut = (x: tf.Tensor4D) => tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
  return {queries: cut(queries), keys: cut(keys), values: cut(values)};
}

/** Tokens of one head, as numbers. */
interface Held {
  readonly position: number;
  readonly key: number[];
  readonly value: number[];
  /** Added to its scores. */
  readonly bias?: number | undefined;
}

/** What each head of a past holds, decoded: `[batch][kvHead]`. Keys without rotation only. */
function heldBy(past: Past | undefined): Held[][][] {
  const segments = past === undefined ? [] : segmentsOf(past);
  const decoded = segments.map(({keys, values, positions, bias, tokens: count}) => ({
    count,
    keys: decodeEncoding(keys, 0, count).arraySync(),
    values: decodeEncoding(values, 0, count).arraySync(),
    positions: typeof positions === 'number' ? positions : positions.arraySync(),
    bias: bias?.arraySync(),
  }));
  return Array.from({length: batch}, (_, b) =>
    Array.from({length: kvHeads}, (_, h) =>
      decoded.flatMap(({count, keys, values, positions, bias}) =>
        Array.from({length: count}, (_, t) => ({
          position: typeof positions === 'number' ? positions + t : positions[b]![h]![t]![0]!,
          key: keys[b]![h]![t]!,
          value: values[b]![h]![t]!,
          bias: bias?.[b]![h]![t]![0],
        })),
      ),
    ),
  );
}

/** Attention by its definition, in float64, over what is held and the fresh tokens, each query within its window. */
function expectedOutput(past: Past | undefined, fresh: Text, start: number, window: number): number[] {
  const held = heldBy(past);
  const [queries, keys, values] = [fresh.queries, fresh.keys, fresh.values].map(x => x.arraySync()) as [
    number[][][][],
    number[][][][],
    number[][][][],
  ];
  const outputs: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads));
      const own = keys[b]![kvHead]!.map((key, t) => ({
        position: start + t,
        key,
        value: values[b]![kvHead]![t]!,
      }));
      const all: Held[] = [...held[b]![kvHead]!, ...own];
      queries[b]![head]!.forEach((query, t) => {
        const seen = all.filter(({position}) => position <= start + t && position > start + t - window);
        const scores = seen.map(
          ({key, bias = 0}) => scale * key.reduce((sum, x, d) => sum + x * query[d]!, 0) + bias,
        );
        const most = Math.max(...scores);
        const weights = scores.map(score => Math.exp(score - most));
        const total = weights.reduce((a, x) => a + x);
        for (let d = 0; d < dim; d++) {
          outputs.push(weights.reduce((sum, x, i) => sum + x * seen[i]!.value[d]!, 0) / total);
        }
      });
    }
  }
  return outputs;
}

const schedules = [
  [3, 1, 17, 2, 9, 8],
  [25, ...Array.from({length: 15}, () => 1)],
];

/** Of a text as short as this one, only a profile makes codes. */
const byProfile = {
  name: 'transform',
  options: {bits: 3, sinks: 1, profile: randomProfileId({depths: 1, kvHeads, dim})},
};

describeOnBackends('a local window', () => {
  for (const variant of [...policyVariants, byProfile]) {
    it(`${variantName(variant)}: attends to all held tokens within it and to no others`, async () => {
      const text = randomText();
      for (const [window, chunks] of [
        [6, schedules[0]!],
        [13, schedules[1]!],
        [1, schedules[1]!],
      ] as const) {
        const cache = new KVCache([layerShape], makePolicy(variant));
        for (let from = 0, i = 0; from < tokens; from += chunks[i++]!) {
          const fresh = part(text, from, chunks[i]!);
          const expected = expectedOutput(cache.past(0), fresh, from, window);
          const output = cache.attend(0, {...fresh, scale, window});
          await expectClose(output, expected, 2e-5);
          tf.dispose([fresh, output]);
        }
        cache.dispose();
      }
      tf.dispose(text);
    });
  }

  it('equals masked attention for keys stored rotated and unrotated', async () => {
    const rope = {theta: 100};
    const window = 7;
    const text = randomText();
    const expected = tf.tidy(() => {
      const rotation = rotationFor(rope, dim, 0, tokens);
      const [queries, keys] = [rotate(text.queries, rotation), rotate(text.keys, rotation)];
      return attentionWithin({...text, queries, keys}, window);
    });
    for (const policy of [
      {name: 'full'},
      {name: 'layered', options: {shortTermSize: 8, longTermRank: 16}}, // nothing lost: the whole rank
    ]) {
      const cache = new KVCache([layerShape], makePolicy(policy));
      const output = tf.tidy(() => {
        let from = 0;
        const outputs = schedules[0]!.map(count => {
          from += count;
          return cache.attend(0, {...part(text, from - count, count), rope, scale, window});
        });
        return tf.concat(outputs, 2);
      });
      await expectClose(output, expected, 1e-4);
      output.dispose();
      cache.dispose();
    }
    tf.dispose([text, expected]);
  });

  it('limits attention scores to tokens within it', async () => {
    const text = randomText();
    const cache = new KVCache(
      [layerShape],
      makePolicy({name: 'h2o', options: {heavyBudget: 8, recentBudget: 60, normalize: false}}),
    );
    const window = 5;
    tf.dispose(cache.attend(0, {...part(text, 0, 30), scale, window}));
    tf.dispose(cache.attend(0, {...part(text, 30, 1), scale, window}));
    const {scores, tokens: held} = cache.past(0)!.recent;
    expect(held).to.equal(window - 1);
    const expected = tf.tidy(() => {
      const probabilities = tf.softmax(maskedScores(part(text, 0, 31), window));
      const ofHeads = tf.sum(
        tf.reshape(probabilities, [batch, kvHeads, (heads / kvHeads) * 31, 31]),
        2,
        true,
      );
      return tf.slice(ofHeads, [0, 0, 0, 31 - held], [-1, -1, -1, held]);
    });
    await expectClose(tf.reshape(scores!, expected.shape), expected, 1e-5);
    cache.dispose();
    tf.dispose([text, expected]);
  });

  it('is refused if it is not a number of tokens', () => {
    const text = randomText();
    const cache = new KVCache([layerShape]);
    for (const window of [0, -1, 2.5, NaN]) {
      expect(() => cache.attend(0, {...text, window})).to.throw(InvalidArgumentError, /window/);
      expect(() => attendOverItself({...text, window})).to.throw(InvalidArgumentError, /window/);
    }
    expect(cache.tokens).to.equal(0);
    tf.dispose(text);
  });
});

// references take minutes on cpu, and decide nothing there
describeOnBackends(
  'a cache of a layer with a local window',
  () => {
    for (const variant of [...policyVariants, byProfile]) {
      const policy = makePolicy(variant);
      it(`${variantName(variant)}: leaves no more than it in the cache, and a block or two`, async () => {
        const text = randomText(longTokens);
        for (const [window, chunk] of [
          [13, 1],
          [40, 7],
          [40, 64],
        ] as const) {
          const cache = new KVCache([layerShape], policy);
          const outputs: tf.Tensor[] = [];
          for (let from = 0; from < longTokens; from += chunk) {
            const fresh = part(text, from, Math.min(chunk, longTokens - from));
            outputs.push(cache.attend(0, {...fresh, scale, window}));
            tf.dispose(fresh);
            const {held, recent} = cache.past(0)!;
            const early = Math.min(16, Math.ceil(window / 16));
            expect(recent.tokens, 'recent').to.be.below(window + early);
            for (const [name, segment] of Object.entries(held)) {
              const spare = Math.max(early, 2 * blockTokensOf(segment)); // blocks at both ends are seen in part
              expect(segment.tokens, name).to.be.below(window + spare);
              expect(segment.tokens, name).to.be.above(0);
            }
            expect(Object.keys(held), 'segments').to.not.include(from > window + 8 ? 'sinks' : '');
          }
          if (variantName(variant).startsWith('full')) {
            const expected = attentionWithin(text, window);
            const joined = tf.concat(outputs, 2);
            await expectClose(joined, expected, 2e-5, `window ${window}, chunks of ${chunk}`);
            tf.dispose([expected, joined]);
          }
          tf.dispose(outputs);
          cache.dispose();
        }
        tf.dispose(text);
      });

      it(`${variantName(variant)}: goes on after a fork, a snapshot and another plan`, async () => {
        const text = randomText(longTokens);
        const window = 24;
        const shapes = [{...layerShape, window}];
        const cache = new KVCache(shapes, policy);
        for (let from = 0; from < 100; from += 10) {
          tf.dispose(cache.attend(0, {...part(text, from, 10), scale, window}));
        }
        const fork = cache.fork();
        const restored = await KVCache.restore(await cache.save(), shapes, policy);
        const replanned = cache.fork();
        await replanned.setPlan('full');
        const former = cache.past(0)!;
        for (const [name, other] of Object.entries({fork, restored, replanned})) {
          for (const [from, count] of [
            [100, 1],
            [101, 30],
          ] as const) {
            const fresh = part(text, from, count);
            const expected = expectedOutput(other.past(0), fresh, from, window);
            await expectClose(other.attend(0, {...fresh, scale, window}), expected, 2e-5, name);
          }
          expect(tokensHeld(other.past(0)!), name).to.be.at.most(tokensHeld(former) + 40);
          other.dispose();
        }
        expect(cache.past(0)).to.equal(former);
        cache.dispose();
        tf.dispose(text);
      });
    }

    for (const variant of [...policyVariants, byProfile]) {
      it(`${variantName(variant)}: takes over a cache in which nothing is left of a window of one token`, async () => {
        const text = randomText(longTokens);
        for (const [from, to] of [
          ['full', makePolicy(variant)],
          [makePolicy(variant), 'quantized:groupSize=4,residual=4'],
        ] as const) {
          const cache = new KVCache([{...layerShape, window: 1}], from);
          tf.dispose(cache.attend(0, {...part(text, 0, 100), scale, window: 1}));
          expect(tokensHeld(cache.past(0)!)).to.equal(0);
          await cache.setPlan(to);
          const restored = await KVCache.restore(await cache.save(), [{...layerShape, window: 1}]);
          for (const other of [cache, restored]) {
            const fresh = part(text, 100, 20);
            const output = other.attend(0, {...fresh, scale, window: 1});
            await expectClose(output, toQueryHeads(fresh.values), 2e-5);
            other.dispose();
          }
        }
        tf.dispose(text);
      });
    }

    it('lets a cache be cut as far as its tokens are there', async () => {
      const text = randomText(longTokens);
      const window = 64;
      const expected = attentionWithin(text, window);
      for (const plan of ['full', 'quantized:groupSize=4,residual=4,sinks=2,bits=8']) {
        const cache = new KVCache([{...layerShape, window}], plan);
        for (let from = 0; from < 150; from++) {
          tf.dispose(cache.attend(0, {...part(text, from, 1), scale, window}));
        }
        const first = cache.tokens - tokensHeld(cache.past(0)!);
        expect(first, 'dropped').to.be.above(80);
        const least = first + window - 1;
        expect(least, 'can be cut to').to.be.below(150);
        await rejection(cache.truncate(least - 1), CacheStateError, /were evicted.*window 64 tokens/);
        await cache.truncate(least);
        expect(cache.tokens).to.equal(least);
        const output = cache.attend(0, {...part(text, least, 5), scale, window});
        const wanted = tf.slice(expected, [0, 0, least, 0], [-1, -1, 5, -1]);
        await expectClose(output, wanted, plan === 'full' ? 2e-5 : 0.05);
        tf.dispose([output, wanted]);
        cache.dispose();
      }
      tf.dispose([text, expected]);
    });
  },
  testBackends.filter(backend => backend !== 'cpu'),
);
