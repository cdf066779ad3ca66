import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../base/errors.js';
import {KVCache, uniformShapes} from '../../cache/index.js';
import {decodeTokens, hostPositions} from '../../cache/past/decode.js';
import {type Past, segmentsOf} from '../../cache/past/past.js';
import {attention, cachedAttention, eigenAttention, relativeBiasOfBuckets} from '../../layers/index.js';
import {policyVariants} from '../cache/variants.js';
import {describeOnBackends} from '../support/backends.js';
import {type GoldenArray, readGolden} from '../support/golden.js';
import {randomFloats} from '../support/random.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

type Side = 'query' | 'key' | 'value' | 'output';

interface Golden extends Readonly<Record<Side, GoldenArray>> {
  readonly heads: number;
  readonly maxDistance: number;
  readonly x: GoldenArray;
  /** `[buckets, heads]` */
  readonly table: GoldenArray;
  readonly result: GoldenArray;
  readonly weights: GoldenArray;
  readonly gradients: Readonly<Record<'x' | 'table' | 'query', GoldenArray>>;
  readonly buckets: readonly {
    readonly buckets: number;
    readonly maxDistance: number;
    readonly order: readonly number[];
    readonly counts: readonly number[];
  }[];
}
const golden = readGolden('layers/relative_bias.json') as Golden;
const tensorOf = ({data, shape}: GoldenArray) => tf.tensor(data, shape);

const [heads, dim, dimV, distances] = [2, 18, 16, 11];
const tokens = 70;
const numbers = {
  queries: randomFloats(1, heads * tokens * dim),
  keys: randomFloats(2, heads * tokens * dim),
  values: randomFloats(3, heads * tokens * dimV),
  table: randomFloats(4, heads * distances, 2),
};

function text(from: number, count: number): [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D] {
  const part = (of: Float32Array, size: number) =>
    tf.slice(tf.tensor4d(of, [1, heads, tokens, size]), [0, 0, from, 0], [-1, -1, count, -1]);
  return [part(numbers.queries, dim), part(numbers.keys, dim), part(numbers.values, dimV)];
}

const tableOf = () => tf.tensor2d(numbers.table, [heads, distances]);
/** Budgets in bytes have room for these heads. */
const variants = policyVariants.map(({name, options}) =>
  name === 'mixed' ? {name, options: {...options, budget: '12kB'}} : {name, options},
);
const shapes = uniformShapes({depths: 1, heads, headDim: dim}).map(shape => ({...shape, dimV}));

describeOnBackends('relative biases', () => {
  it("are those of T5's decoder: at once, in chunks, token by token", async () => {
    const table = tf.tidy(() =>
      relativeBiasOfBuckets(tensorOf(golden.table) as tf.Tensor2D, {maxDistance: golden.maxDistance}),
    );
    const layer = attention({
      ...{numHeads: golden.heads, headDim: 5, scale: 1},
      relativeDistances: table.shape[1],
    });
    const x = tensorOf(golden.x);
    const [, length] = golden.x.shape as [number, number, number];
    layer.build(x.shape);
    tf.tidy(() =>
      layer.setWeights([
        ...(['query', 'key', 'value', 'output'] as const).map(side => tensorOf(golden[side])),
        table,
      ]),
    );
    for (const chunks of [[length], [23, 1, 16], Array.from({length}, () => 1)]) {
      const cache = new KVCache({layers: [layer]});
      const joined = tf.tidy(() =>
        inSteps(
          chunks,
          (from, count) => layer.apply(tf.slice(x, [0, from, 0], [-1, count, -1]), {cache}) as tf.Tensor,
        ),
      );
      await expectClose(joined, golden.result.data, 2e-5);
      joined.dispose();
      cache.dispose();
    }
    const whole = layer.apply(x) as tf.Tensor;
    await expectClose(whole, golden.result.data, 2e-5);
    tf.dispose([x, whole, table]);
    tf.dispose(layer.getWeights());
  });

  it('have the gradients of PyTorch, those of the buckets as well', async () => {
    const split = (y: tf.Tensor): tf.Tensor4D =>
      tf.transpose(tf.reshape(y, [2, -1, golden.heads, 5]), [0, 2, 1, 3]);
    const times = (y: tf.Tensor, matrix: tf.Tensor): tf.Tensor =>
      tf.matMul(tf.reshape(y, [-1, y.shape.at(-1)!]), matrix);
    const gradients = tf.tidy(() => {
      const [key, value, output] = (['key', 'value', 'output'] as const).map(side => tensorOf(golden[side]));
      return tf.grads((x, table, query) => {
        const relativeBias = relativeBiasOfBuckets(table as tf.Tensor2D, {maxDistance: golden.maxDistance});
        const [queries, keys, values] = [query, key!, value!].map(matrix => split(times(x, matrix))) as [
          tf.Tensor4D,
          tf.Tensor4D,
          tf.Tensor4D,
        ];
        const attended = cachedAttention(queries, keys, values, {relativeBias, scale: 1});
        const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, golden.heads * 5]);
        return tf.sum(
          tf.mul(tf.reshape(times(joined, output!), golden.weights.shape), tensorOf(golden.weights)),
        );
      })([tensorOf(golden.x), tensorOf(golden.table), tensorOf(golden.query)]);
    });
    for (const [index, name] of (['x', 'table', 'query'] as const).entries()) {
      await expectClose(gradients[index]!, golden.gradients[name].data, 1e-4, name);
    }
    tf.dispose(gradients);
  });

  for (const {name, options = {}} of variants) {
    it(`under ${name} ${JSON.stringify(options)}: attention over what is stored, at its positions`, async () => {
      const cache = new KVCache(shapes, {name, options});
      const {skipValues = 0} = options as {readonly skipValues?: number};
      let from = 0;
      for (const count of [30, 1, 1, 7, 1, ...Array.from({length: 20}, () => 1), 10]) {
        const before = cache.past(0);
        const expected = await expectedOutput(before, from, count);
        const output = tf.tidy(() => cachedAttention(...text(from, count), {cache, relativeBias: tableOf()}));
        await expectClose(output, expected, 1e-4 + 4 * skipValues, `token ${from}`);
        output.dispose();
        from += count;
      }
      expect(from).to.equal(tokens);
      cache.dispose();
    });
  }

  it('go on in forks and snapshots, and when plans change', async () => {
    const step = (cache: KVCache, from: number, count: number) =>
      tf.tidy(() => cachedAttention(...text(from, count), {cache, relativeBias: tableOf()}));
    const cache = new KVCache(shapes, 'snapKv:budget=12,queries=8');
    step(cache, 0, 40).dispose();
    const fork = cache.fork();
    const restored = await KVCache.restore(await cache.save(), shapes);
    const plan = 'snapKv:budget=6,queries=8';
    await cache.setPlan(plan); // which asks how the newest queries attend
    await restored.setPlan(plan);
    const [one, other, again] = [cache, restored, fork].map(each => step(each, 40, 3));
    await expectClose(other!, one!, 0);
    tf.dispose([one!, other!, again!]);
    for (const each of [cache, fork, restored]) each.dispose();
  });

  it('leak nothing', () =>
    expectNoLeak(() => {
      const cache = new KVCache(shapes, 'h2o:heavyBudget=8,recentBudget=6');
      const table = tableOf();
      tf.tidy(() => {
        cachedAttention(...text(0, 20), {cache, relativeBias: table});
        for (let at = 20; at < 40; at++) cachedAttention(...text(at, 1), {cache, relativeBias: table});
      });
      cache.dispose();
      expect(table.isDisposed).to.be.false;
      table.dispose();
    }));
});

describe('options of relative biases', () => {
  it('are refused where they do not fit', () => {
    const [q, k, v] = text(0, 4);
    const cache = new KVCache(shapes);
    const disposed = tf.zeros([heads, 3]);
    disposed.dispose();
    const given = [
      [tf.zeros([3, 5]), /relativeBias = float32 \[3, 5\]; expected a float32 tensor \[2, distances\]/],
      [tf.zeros([2]), /relativeBias = float32 \[2\]/],
      [tf.zeros([2, 5], 'int32'), /relativeBias = int32 \[2, 5\]/],
      [tf.zeros([2, 0]), /relativeBias = float32 \[2, 0\]/],
      [disposed, /relativeBias = a disposed float32/],
      [[[1], [2]], /relativeBias = .*expected a float32 tensor/],
    ] as const;
    for (const [table, message] of given) {
      const relativeBias = table as tf.Tensor2D;
      expect(() => cachedAttention(q, k, v, {relativeBias})).to.throw(InvalidArgumentError, message);
      expect(() => cachedAttention(q, k, v, {relativeBias, cache})).to.throw(InvalidArgumentError, message);
    }
    const infinite = tf.tensor2d([0, -Infinity], [2, 1]);
    expect(() => cachedAttention(q, k, v, {relativeBias: infinite, cache})).to.throw(
      InvalidArgumentError,
      /relativeBias contain NaN or infinity/,
    );
    const shared = tf.slice(k, [0, 0, 0, 0], [-1, 1, -1, -1]);
    expect(() => cachedAttention(q, shared, shared, {relativeBias: tableOf()})).to.throw(
      InvalidArgumentError,
      /relativeBias with 2 query heads and 1 key heads/,
    );
    expect(cache.tokens).to.equal(0);
    cache.dispose();
  });

  it('of layers are their number of distances', () => {
    const wrong = (options: object) => () => attention({numHeads: 4, ...options});
    expect(wrong({relativeDistances: 0})).to.throw(InvalidArgumentError, /relativeDistances = 0/);
    expect(wrong({relativeDistances: 8, numKvHeads: 2})).to.throw(
      InvalidArgumentError,
      /numHeads = 4 and numKvHeads = 2/,
    );
    expect(wrong({relativeBias: tf.zeros([4, 8])})).to.throw(
      InvalidArgumentError,
      /no option of a layer.*relativeDistances/,
    );
    const layer = eigenAttention({numHeads: 2, relativeDistances: 8, rankRatio: 0.5});
    expect(layer.getConfig()).to.include({relativeDistances: 8});
  });
});

describe('relativeBiasOfBuckets', () => {
  for (const {buckets, maxDistance, order, counts} of golden.buckets) {
    it(`has the ${buckets} buckets of transformers up to ${maxDistance}`, async () => {
      expect(order.at(-1)).to.equal(buckets - 1);
      const ofBuckets = Float32Array.from({length: buckets}, (_, bucket) => bucket);
      const table = tf.tidy(() => relativeBiasOfBuckets(tf.tensor2d(ofBuckets, [buckets, 1]), {maxDistance}));
      const expected = order.flatMap((bucket, i) =>
        Array.from({length: i < order.length - 1 ? counts[i]! : 1}, () => bucket),
      );
      expect(table.shape).to.deep.equal([1, expected.length]);
      await expectClose(table, expected, 0);
      table.dispose();
    });
  }

  it('refuses what is no table of buckets', () => {
    const table = tf.zeros<tf.Rank.R2>([8, 2]);
    const wrong =
      (given: unknown, options: object = {}) =>
      () =>
        relativeBiasOfBuckets(given as tf.Tensor2D, options);
    expect(wrong(tf.zeros([1, 2]))).to.throw(
      InvalidArgumentError,
      /got float32 \[1, 2\]; expected a float32 tensor \[buckets, heads\]/,
    );
    expect(wrong([[1]])).to.throw(InvalidArgumentError, /expected a float32 tensor/);
    expect(wrong(table, {maxDistance: 4})).to.throw(InvalidArgumentError, /maxDistance = 4 for 8 buckets/);
    expect(wrong(table, {max_distance: 4})).to.throw(InvalidArgumentError, /no option "max_distance"/);
  });
});

function inSteps(chunks: readonly number[], step: (from: number, count: number) => tf.Tensor): tf.Tensor {
  let from = 0;
  return tf.concat(
    chunks.map(count => step((from += count) - count, count)),
    1,
  );
}

/** Attention of fresh tokens over themselves and what a cache holds, decoded, in double precision: `[1, heads, count, dimV]`. */
async function expectedOutput(past: Past | undefined, from: number, count: number): Promise<Float64Array> {
  const segments = past === undefined ? [] : segmentsOf(past);
  const held = await Promise.all(
    segments.map(async segment => {
      const {keys, values} = decodeTokens(segment, {rope: undefined, tokensSeen: from});
      const bias = segment.bias && (await segment.bias.data());
      const found = {
        positions: await hostPositions(segment),
        keys: await keys.data.data(),
        values: await values.data.data(),
        bias,
        tokens: segment.tokens,
        rows: keys.data.shape[2],
      };
      tf.dispose([keys.data, values.data]);
      return found;
    }),
  );
  const output = new Float64Array(heads * count * dimV);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < count; i++) {
      const at = from + i;
      const query = numbers.queries.subarray((head * tokens + at) * dim, (head * tokens + at + 1) * dim);
      const seen: {score: number; value: ArrayLike<number>}[] = [];
      const see = (key: ArrayLike<number>, value: ArrayLike<number>, position: number, bias = 0) => {
        const product = query.reduce((sum, number, c) => sum + number * key[c]!, 0);
        const distance = Math.min(at - position, distances - 1);
        seen.push({
          score: product / Math.sqrt(dim) + numbers.table[head * distances + distance]! + bias,
          value,
        });
      };
      for (const {positions, keys, values, bias, tokens: ofSegment, rows} of held) {
        const own = positions[head] ?? positions[0]!;
        for (let j = 0; j < ofSegment; j++) {
          const row = head * rows + j;
          see(
            keys.subarray(row * dim, (row + 1) * dim),
            values.subarray(row * dimV, (row + 1) * dimV),
            own[j]!,
            bias?.[head * ofSegment + j],
          );
        }
      }
      for (let position = from; position <= at; position++) {
        const row = head * tokens + position;
        see(
          numbers.keys.subarray(row * dim, (row + 1) * dim),
          numbers.values.subarray(row * dimV, (row + 1) * dimV),
          position,
        );
      }
      const largest = Math.max(...seen.map(({score}) => score));
      const sum = seen.reduce((all, {score}) => all + Math.exp(score - largest), 0);
      for (const {score, value} of seen) {
        for (let c = 0; c < dimV; c++)
          output[(head * count + i) * dimV + c]! += (Math.exp(score - largest) / sum) * value[c]!;
      }
    }
  }
  return output;
}
