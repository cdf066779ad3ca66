import {makePolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {type Past, segmentsOf} from '../../cache/past/past.js';
import {attendOverItself} from '../../layers/cached_attention.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {rotate} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose} from '../support/tensors.js';
import {randomProfileId} from '../support/transform_profile.js';
import {policyVariants, variantName} from './variants.js';

const [batch, heads, kvHeads, dim, tokens] = [2, 4, 2, 16, 40];
const layerShape = {depth: 0, heads, kvHeads, dim, dimV: dim};
const scale = 0.3;

function randomText(): Text {
  return {
    queries: tf.randomNormal<tf.Rank.R4>([batch, heads, tokens, dim], 0, 1, 'float32', 1),
    keys: tf.randomNormal<tf.Rank.R4>([batch, kvHeads, tokens, dim], 0, 1, 'float32', 2),
    values: tf.randomNormal<tf.Rank.R4>([batch, kvHeads, tokens, dim], 0, 1, 'float32', 3),
  };
}

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
      const keys = tf.reshape(rotate(text.keys, rotation), [batch, kvHeads, 1, tokens, dim]);
      const values = tf.reshape(text.values, [batch, kvHeads, 1, tokens, dim]);
      const group = [1, 1, heads / kvHeads, 1, 1];
      const grouped = (x: tf.Tensor) => tf.reshape(tf.tile(x, group), [batch, heads, tokens, dim]);
      const scores = tf.mul(tf.matMul(rotate(text.queries, rotation), grouped(keys), false, true), scale);
      const band = tf.linalg.bandPart(tf.ones([tokens, tokens]), window - 1, 0);
      const masked = tf.add(scores, tf.mul(tf.sub(band, 1), 1e9));
      return tf.matMul(tf.softmax(masked), grouped(values));
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
      makePolicy({name: 'h2o', options: {heavyBudget: 8, recentBudget: 60}}),
    );
    tf.dispose(cache.attend(0, {...part(text, 0, 30), scale, window: 5}));
    tf.dispose(cache.attend(0, {...part(text, 30, 1), scale, window: 5}));
    const {scores} = cache.past(0)!.recent;
    const numbers = (await scores!.data()) as Float32Array;
    const ofHead = numbers.subarray(0, 31);
    const sum = ofHead.reduce((a, b) => a + b, 0);
    expect(sum, 'a whole attention for each query of the group').to.be.closeTo(31 * (heads / kvHeads), 1e-3);
    cache.dispose();
    tf.dispose(text);
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
