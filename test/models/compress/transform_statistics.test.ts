import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {ModelError} from '../../../base/errors.js';
import {
  type DepthTransformStatistics,
  keyMoments,
  mergedTransforms,
  partOf,
  valueCovariance,
} from '../../../models/compress/transform/statistics.js';
import {TransformFeatures, TransformGradients} from '../../../models/compress/transform/watch_transform.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {multiply64, transpose64} from '../../../ops/linalg/matrix64.js';
import {rotate} from '../../../ops/rotate/index.js';
import {type RopeConfig, rotationFor} from '../../../ops/rotate/rope.js';
import {rejection} from '../../base/files/rejection.js';
import {randomFloats} from '../../support/random.js';
import {expectNoLeak} from '../../support/tensors.js';

const [kvHeads, dim, length] = [2, 8, 150];
const sinks = 4;

const ropes: Readonly<Record<string, RopeConfig | undefined>> = {
  'no rotation': undefined,
  'all channels': {theta: 100},
  'interleaved pairs': {theta: 100, interleaved: true},
  'half of the channels': {theta: 100, rotaryDim: 4},
  'a scaled rotation (YaRN)': {theta: 100, scaling: {type: 'yarn', factor: 4, originalMaxPositions: 64}},
};

/** Keys around a mean that is large beside their spread, as biases of projections make them. */
interface Text {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

function textOf(seed: number): Text {
  const [x, offsets] = [
    randomFloats(seed, kvHeads * length * dim),
    randomFloats(seed + 1, kvHeads * dim, 30),
  ];
  const keys = x.map((number, at) => {
    const head = Math.floor(at / (length * dim));
    return number * (1 + (at % dim)) + offsets[head * dim + (at % dim)]!;
  });
  return {keys, values: randomFloats(seed + 2, kvHeads * length * dim)};
}

/** Rows of one head, without the first ones. */
function rowsOf(numbers: ArrayLike<number>, head: number, from = sinks, to = length): number[] {
  return Array.from(numbers).slice((head * length + from) * dim, (head * length + to) * dim);
}

const headsOf = (numbers: Float32Array) => tf.tensor4d(numbers, [1, kvHeads, length, dim]);

async function rotated(numbers: Float32Array, rope: RopeConfig | undefined): Promise<ArrayLike<number>> {
  if (rope === undefined) return numbers;
  const x = tf.tidy(() => rotate(headsOf(numbers), rotationFor(rope, dim, 0, length)));
  const read = await x.data();
  x.dispose();
  return read;
}

async function featuresOf(
  texts: readonly Text[],
  rope: RopeConfig | undefined,
  chunk = length,
): Promise<TransformFeatures> {
  const features = new TransformFeatures();
  for (const {keys, values} of texts) {
    tf.tidy(() => {
      for (let start = 0; start < length; start += chunk) {
        const count = Math.min(chunk, length - start);
        const part = (numbers: Float32Array): tf.Tensor4D =>
          tf.slice(headsOf(numbers), [0, 0, start, 0], [1, kvHeads, count, dim]);
        const rotation = rope && rotationFor(rope, dim, start, count);
        const fresh = {queries: part(keys), keys: part(keys), values: part(values), start, rope, rotation};
        features.see(0, fresh);
      }
    });
    await features.take();
  }
  return features;
}

async function statisticsOf(texts: readonly Text[], rope: RopeConfig | undefined, chunk?: number) {
  const features = await featuresOf(texts, rope, chunk);
  const statistics = await features.statistics([new Float64Array(kvHeads * dim * dim)]);
  features.dispose();
  return statistics;
}

const mean = (rows: readonly number[]) =>
  Array.from(
    {length: dim},
    (_, c) => rows.filter((_x, at) => at % dim === c).reduce((sum, x) => sum + x, 0) / (rows.length / dim),
  );

const gram = (rows: readonly number[]) => {
  const count = rows.length / dim;
  return multiply64(transpose64(rows, count, dim), rows, dim, count, dim).map(x => x / count);
};

function expectNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  const largest = Math.max(...Array.from(expected, Math.abs));
  expect(actual.length, what).to.equal(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i]! - expected[i]!), `${what} ${i}`).to.be.at.most(tolerance * largest);
  }
}

/** Keys minus their mean, rotated: by the definition, head by head. */
async function definedMoments(texts: readonly Text[], rope: RopeConfig | undefined, head: number) {
  const center = mean(texts.flatMap(({keys}) => rowsOf(keys, head)));
  const x: number[] = [];
  for (const {keys} of texts) {
    const centred = keys.map((key, at) => (rope === undefined ? key : key - center[at % dim]!));
    x.push(...rowsOf(await rotated(centred, rope), head));
  }
  const m = mean(x);
  return {center, mean: m, covariance: gram(x.map((number, at) => number - m[at % dim]!))};
}

describe('statistics of transforms', () => {
  before(() => useBackend('wasm'));

  for (const [name, rope] of Object.entries(ropes)) {
    it(`are means and covariances of keys and values: ${name}`, async () => {
      const texts = [textOf(1), textOf(11)];
      const [a, b] = [await statisticsOf([texts[0]!], rope), await statisticsOf([texts[1]!], rope)];
      const ways = {
        together: await statisticsOf(texts, rope),
        'in chunks': await statisticsOf(texts, rope, 3),
        merged: mergedTransforms(a, b),
      };
      for (const [way, {tokens, depths}] of Object.entries(ways)) {
        expect(tokens).to.equal(2 * (length - sinks));
        const [depth] = depths as [DepthTransformStatistics];
        for (let head = 0; head < kvHeads; head++) {
          const expected = await definedMoments(texts, rope, head);
          const found = keyMoments(depth, rope, head);
          expectNear(found.covariance, expected.covariance, 2e-5, `${way}: covariance`);
          if (rope === undefined) {
            expect(found.rotatedMean).to.equal(undefined);
            expectNear(found.mean, expected.center, 1e-6, `${way}: mean`);
          } else {
            expectNear(found.rotatedMean!, expected.center, 1e-6, `${way}: mean`);
            // relative to the keys: the mean of what is rotated may be near 0
            for (const [i, x] of expected.mean.entries()) expect(found.mean[i]).to.be.closeTo(x, 1e-4);
          }
          const values = texts.flatMap(text => rowsOf(text.values, head));
          expectNear(valueCovariance(depth, head), gram(values), 1e-5, `${way}: values`);
        }
      }
    });

    it(`weigh gradients by the squares of their tokens: ${name}`, async () => {
      const text = textOf(5);
      const features = await statisticsOf([text], rope);
      const gradients = new TransformGradients(features);
      const [ofKeys, ofValues] = [randomFloats(7, text.keys.length), randomFloats(8, text.keys.length)];
      tf.tidy(() => {
        const side = {keys: headsOf(ofKeys), values: headsOf(ofValues)};
        const rotation = rope && rotationFor(rope, dim, 0, length);
        const tokens = {keys: headsOf(text.keys), values: headsOf(text.values), ...(rotation && {rotation})};
        gradients.see(0, {...tokens, all: side, later: side});
      });
      await gradients.take();
      const {depths, gradientTokens} = gradients.statistics;
      gradients.dispose();
      expect(gradientTokens).to.equal(128 - sinks); // 150 tokens are three steps of 64, of which the last is read by none
      for (let head = 0; head < kvHeads; head++) {
        const {center, mean: m, covariance} = await definedMoments([text], rope, head);
        const centred = await rotated(
          text.keys.map((key, at) => (rope === undefined ? key : key - center[at % dim]!)),
          rope,
        );
        const weighted = (
          x: readonly number[],
          of: readonly number[],
          square: (x: number, c: number) => number,
        ) =>
          of.map((g, at) => {
            const token = Math.floor(at / dim);
            const squares = x.slice(token * dim, (token + 1) * dim).map((number, c) => square(number, c));
            return g * Math.sqrt(squares.reduce((sum, s) => sum + s, 0) / dim);
          });
        const all = valueCovariance(depths[0]!, head);
        const variance = Array.from({length: dim}, (_, c) => all[c * (dim + 1)]!).reduce(
          (sum, x) => sum + x / dim,
          0,
        );
        const keys = weighted(
          rowsOf(centred, head, sinks, 128),
          rowsOf(ofKeys, head, sinks, 128),
          (x, c) => (x - m[c]!) ** 2 / covariance[c * (dim + 1)]!,
        );
        const values = weighted(
          rowsOf(text.values, head, sinks, 128),
          rowsOf(ofValues, head, sinks, 128),
          x => x ** 2 / variance,
        );
        const part = (of: Float64Array) => partOf(of, head, kvHeads).map(sum => sum / gradientTokens);
        expectNear(part(depths[0]!.sums.keyMetrics), gram(keys), 1e-4, 'keys');
        expectNear(part(depths[0]!.sums.valueMetrics), gram(values), 1e-4, 'values');
      }
    });
  }

  it('leave nothing behind, and refuse numbers that are none', async () => {
    await expectNoLeak(async () => {
      await statisticsOf([textOf(3)], {theta: 100}, 40);
      const features = new TransformFeatures();
      tf.tidy(() => {
        const keys = tf.fill<tf.Rank.R4>([1, kvHeads, 10, dim], NaN);
        features.see(0, {queries: keys, keys, values: keys, start: 0});
      });
      await rejection(features.take(), ModelError, /NaN or infinity/);
      features.dispose();
    });
  });
});
