import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../base/errors.js';
import {KVCache} from '../../cache/index.js';
import {
  type AttentionArgs,
  type EigenAttentionArgs,
  attention,
  cachedAttention,
  eigenAttention,
} from '../../layers/index.js';
import {alibiSlopes} from '../../ops/attention/scoring.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose} from '../support/tensors.js';

const [dim, tokens] = [16, 40];
const hidden = () => tf.randomNormal<tf.Rank.R3>([2, tokens, dim], 0, 1, 'float32', 5);

/** Layers of every kind of scores, and of several at once. */
const cases: Record<string, {readonly args: AttentionArgs; readonly eigen?: Partial<EigenAttentionArgs>}> = {
  'a window': {args: {numHeads: 4, numKvHeads: 2, rope: {theta: 100}, window: 7}},
  'a window as long as the text': {args: {numHeads: 4, numKvHeads: 2, rope: {theta: 100}, window: tokens}},
  'a cap': {args: {numHeads: 4, numKvHeads: 2, rope: {theta: 100}, softCap: 0.5, scale: 1}},
  ALiBi: {args: {numHeads: 4, alibi: true}},
  'ALiBi of six heads': {args: {numHeads: 6, headDim: 3, alibi: true}},
  'all of them': {args: {numHeads: 4, window: 9, softCap: 0.5, scale: 0.7, alibi: true, rope: {theta: 100}}},
  'all of them in latents': {
    args: {numHeads: 4, window: 9, softCap: 0.5, scale: 0.7, alibi: true},
    eigen: {rankRatio: 0.5},
  },
  'all of them in latents before their rotation': {
    args: {numHeads: 4, window: 9, softCap: 0.5, scale: 0.7, alibi: true, rope: {theta: 100}},
    eigen: {rankRatio: 0.5, useKeyMean: true},
  },
};

describeOnBackends('how layers make scores', () => {
  for (const [name, {args, eigen}] of Object.entries(cases)) {
    it(`${name}: token by token through a cache equals at once`, async () => {
      const layer = eigen ? eigenAttention({...args, ...eigen}) : attention(args);
      const x = hidden();
      const whole = layer.apply(x) as tf.Tensor;
      for (const chunks of [[tokens], [3, 1, 17, 2, 9, 8], Array.from({length: tokens}, () => 1)]) {
        const cache = new KVCache({layers: [layer]});
        let from = 0;
        const joined = tf.tidy(() =>
          tf.concat(
            chunks.map(count => {
              const part = tf.slice(x, [0, from, 0], [-1, count, -1]);
              from += count;
              return layer.apply(part, {cache}) as tf.Tensor3D;
            }),
            1,
          ),
        );
        await expectClose(joined, whole, 2e-5);
        joined.dispose();
        cache.dispose();
      }
      tf.dispose([x, whole]);
      layer.dispose();
    });
  }
});

describe('options of scores', () => {
  it('are refused if they are not allowed', () => {
    const text = tf.ones<tf.Rank.R4>([1, 4, 3, 8]);
    const cache = new KVCache([{depth: 0, heads: 4, kvHeads: 4, dim: 8, dimV: 8}]);
    for (const [options, message] of [
      [{window: 0}, /window = 0; expected a whole number/],
      [{window: 2.5}, /window = 2.5/],
      [{softCap: 0}, /softCap = 0; expected a finite number above 0/],
      [{softCap: -3}, /softCap = -3/],
      [{softCap: 1e-300}, /softCap = 1e-300; expected a finite/], // 0 in float32
      [{softCap: 1e39}, /softCap = 1e\+39/],
      [{scale: 1e39}, /scale = 1e\+39/],
      [{softCap: Infinity}, /softCap = Infinity/],
      [{scale: NaN}, /scale = NaN/],
      [{alibi: 1 as unknown as boolean}, /alibi = 1; expected true or false/],
    ] as const) {
      expect(() => attention({numHeads: 4, ...options})).to.throw(InvalidArgumentError, message);
      expect(() => cachedAttention(text, text, text, options)).to.throw(InvalidArgumentError, message);
      expect(() => cachedAttention(text, text, text, {cache, ...options})).to.throw(
        InvalidArgumentError,
        message,
      );
    }
    expect(cache.tokens).to.equal(0);
    expect(() => attention({numHeads: 4, numKvHeads: 2, alibi: true})).to.throw(
      InvalidArgumentError,
      /4 query heads and 2 key heads/,
    );
    cache.dispose();
    text.dispose();
  });

  it('have the slopes of the paper', () => {
    expect(alibiSlopes(8)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8].map(k => 2 ** -k));
    // get_slopes of github.com/ofirpress/attention_with_linear_biases, fairseq/models/transformer.py
    expect(alibiSlopes(6)).to.deep.equal([2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3]);
    expect(alibiSlopes(1)).to.deep.equal([2 ** -8]);
  });
});
