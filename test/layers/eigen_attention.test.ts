import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {type EigenAttentionArgs, eigenAttention, flashAttention} from '../../layers/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose} from '../support/tensors.js';
import {shippedPolicies} from '../cache/variants.js';

const sizes = {numHeads: 4, numKvHeads: 2, headDim: 8};
const variants: Record<string, EigenAttentionArgs> = {
  merged: {...sizes, keyRank: 3, valueRank: 5, useBias: true},
  before: {...sizes, keyRank: 3, valueRank: 5, rope: {theta: 100}, useBias: true, useKeyMean: true},
  after: {...sizes, keyRank: 3, valueRank: 5, rope: {theta: 100}, ropeMode: 'after'},
  'before, ranks by head': {...sizes, keyRank: [6, 2], valueRank: [1, 3], rope: {theta: 100}},
  'full rank': {...sizes, rankRatio: 1, rope: {theta: 100}},
};

const input = (batch = 2, tokens = 11) =>
  tf.randomNormal<tf.Rank.R3>([batch, tokens, 12], 0, 1, 'float32', 3);

function inChunks(layer: tf.layers.Layer, x: tf.Tensor3D, cache: KVCache): tf.Tensor {
  return tf.tidy(() => {
    let from = 0;
    const outputs = [4, 1, 1, 3, 2].map(tokens => {
      const output = layer.apply(tf.slice(x, [0, from, 0], [-1, tokens, -1]), {cache}) as tf.Tensor;
      from += tokens;
      return output;
    });
    return tf.concat(outputs, 1);
  });
}

for (const [name, args] of Object.entries(variants)) {
  describeOnBackends(`eigen attention, ${name}`, () => {
    it('with a cache equals without, to 1e-4', async () => {
      const layer = eigenAttention(args);
      const x = input();
      const expected = layer.apply(x) as tf.Tensor;
      const cache = new KVCache({layers: [layer]});
      const actual = inChunks(layer, x, cache);
      await expectClose(actual, expected, 1e-4);
      const {dim, dimV} = layer.layerShape;
      const [keys, values] = [cache.past(0)!.recent.keys, cache.past(0)!.recent.values];
      expect([keys.dim, values.dim], 'what is stored').to.deep.equal([dim, dimV]);
      tf.dispose([x, expected, actual]);
      cache.dispose();
      layer.dispose();
    });

    it('is the same function at the sizes of dense heads', async () => {
      const [layer, dense] = [eigenAttention(args), eigenAttention({...args, useEigen: false})];
      const x = input();
      const expected = layer.apply(x) as tf.Tensor;
      dense.apply(x);
      dense.setWeights(layer.getWeights());
      expect(dense.layerShape).to.include({dim: 8, dimV: 8});
      const without = dense.apply(x) as tf.Tensor;
      const cache = new KVCache({layers: [dense]});
      const cached = inChunks(dense, x, cache);
      await expectClose(without, expected, 1e-5);
      await expectClose(cached, expected, 1e-4);
      tf.dispose([x, expected, without, cached]);
      cache.dispose();
      for (const each of [layer, dense]) each.dispose();
    });

    it('goes with every policy', () => {
      const layer = eigenAttention(args);
      const x = input(1);
      tf.tidy(() => {
        layer.apply(x);
        for (const policy of shippedPolicies()) {
          const cache = new KVCache({layers: [layer]}, {name: policy, options: small[policy] ?? {}});
          expect(inChunks(layer, x, cache).shape, policy).to.deep.equal([1, 11, 12]);
          cache.dispose();
        }
      });
      x.dispose();
      layer.dispose();
    });
  });
}

/** Options with which policies compress a text of eleven tokens. */
const small: Record<string, Record<string, number>> = {
  quantized: {bits: 4, residual: 0, groupSize: 2},
  float8: {residual: 0},
  onlineSvd: {rank: 1, updateFreq: 2},
  layered: {longTermRank: 1, shortTermSize: 2, sinks: 1},
  sliding: {window: 4},
  h2o: {heavyBudget: 2, recentBudget: 2, sinks: 1},
  lru: {maxCacheSize: 4},
  lfu: {maxCacheSize: 4},
  adaptive: {residual: 1, groupSize: 2},
};

describe('eigen attention', () => {
  it('starts with orthonormal bases, each of its head s rank', () => {
    tf.tidy(() => {
      const layer = eigenAttention({...sizes, keyRank: [5, 2], rope: {}, name: 'start'});
      layer.apply(input());
      const basis = layer.weights.find(w => w.originalName === 'start/key_basis')!.read();
      const gram = tf.matMul(basis, basis, false, true).arraySync() as number[][][];
      gram.forEach((head, h) =>
        head.forEach((row, i) =>
          row.forEach((x, j) => expect(x).to.be.closeTo(i === j && i < [5, 2][h]! ? 1 : 0, 1e-6)),
        ),
      );
      layer.dispose();
    });
  });

  it('keeps its padding at zero in training', () => {
    tf.tidy(() => {
      const layer = eigenAttention({...sizes, keyRank: [4, 1], valueRank: [1, 4], rope: {}, name: 'pad'});
      const x = input();
      layer.apply(x);
      const {grads} = tf.variableGrads(() => tf.sum(tf.square(layer.apply(x) as tf.Tensor)));
      const kernel = Object.entries(grads).find(([name]) => name.startsWith('pad/key_kernel'))![1];
      const columns = tf.max(tf.abs(kernel), 0).dataSync();
      expect([...columns].map(x => x > 0)).to.deep.equal([true, true, true, true, true, false, false, false]);
      layer.dispose();
    });
  });

  it('refuses what does not fit', () => {
    const make = (args: Partial<EigenAttentionArgs>) => () => {
      const layer = eigenAttention({...sizes, ...args});
      tf.tidy(() => void layer.apply(input()));
    };
    for (const [args, message] of [
      [{keyRank: 9}, /keyRank = 9.*from 1 to the head's 8/],
      [{valueRank: 0}, /valueRank = 0/],
      [{keyRank: [1, 2, 3]}, /keyRank has 3 numbers.*2 key heads/],
      [{rankRatio: 0}, /rankRatio = 0/],
      [{ropeMode: 'behind' as 'after', rope: {}}, /ropeMode = "behind"/],
      [{useKeyMean: true}, /useKeyMean/],
      [{cachePolicy: {name: 'quantised'}}, /quantized/],
    ] as const) {
      expect(make(args), JSON.stringify(args)).to.throw(InvalidArgumentError, message);
    }
  });
});

describe('flash attention', () => {
  it('compresses its past where no plan says otherwise', async () => {
    const layer = flashAttention({numHeads: 2, headDim: 6, compressionRatio: 0.5});
    const x = input();
    const expected = layer.apply(x) as tf.Tensor;
    const cache = new KVCache({layers: [layer]}, undefined);
    expect(layer.layerShape.policy).to.deep.equal({name: 'onlineSvd', options: {rank: 3}});
    expect(cache.report()[0]!.policy).to.equal('onlineSvd');
    const exact = new KVCache({layers: [layer]}, {name: 'full'});
    const [compressed, full] = [inChunks(layer, x, cache), inChunks(layer, x, exact)];
    await expectClose(full, expected, 1e-4);
    expect(compressed.shape).to.deep.equal(expected.shape);
    tf.dispose([x, expected, compressed, full]);
    for (const each of [cache, exact, layer]) each.dispose();
  });

  it('refuses ratios that are none', () => {
    for (const compressionRatio of [0, 1.5, NaN]) {
      expect(() => flashAttention({numHeads: 2, compressionRatio})).to.throw(
        InvalidArgumentError,
        /compressionRatio/,
      );
    }
    expect(() => flashAttention({numHeads: 2, compressionRatio: 0.5, cachePolicy: {name: 'full'}})).to.throw(
      InvalidArgumentError,
      /one of them/,
    );
  });
});
