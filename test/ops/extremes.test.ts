import {readdirSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {append} from '../../ops/append/index.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {embed} from '../../ops/embed/index.js';
import {allFinite} from '../../ops/finite/index.js';
import {gatherRows} from '../../ops/gather_tokens/index.js';
import {hadamard} from '../../ops/hadamard/index.js';
import {linear} from '../../ops/linear/index.js';
import {coefficients} from '../../ops/low_rank/coefficients.js';
import {expandPartial, project} from '../../ops/low_rank/index.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../ops/attention/merge_partials/log_sum.js';
import {rmsNorm} from '../../ops/rms_norm/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {swiglu} from '../../ops/swiglu/index.js';
import {swigluLinear} from '../../ops/swiglu_linear/index.js';
import {lmHead} from '../../ops/lm_head/index.js';
import {describeOnBackends} from '../support/backends.js';
import {extremes, type MakeNumber} from '../support/extremes.js';
import {randomFloats} from '../support/random.js';

// Every op on numbers that break naive arithmetic, against float64: each number of a result has an error bound of its own,
// the one that the op's docstring states.

const [rows, dim] = [6, 16];
const size = rows * dim;
/** What one operation of float32 may lose. */
const ulp = 2 ** -24;
/** What GPUs lose of the smallest numbers; cpu and wasm keep them. */
const floor = 2 ** -120;

/** A result with what it must be, and how far each of its numbers may lie from that. */
interface Judged {
  readonly what: string;
  readonly actual: tf.Tensor | readonly boolean[];
  readonly expected: ArrayLike<number | boolean>;
  readonly allowed: (index: number) => number;
}

/** Numbers `[rows, dim]`, and weights of the same shape with which products are of a few units. */
interface Given {
  readonly numbers: Float32Array;
  readonly weights: Float32Array;
}

const exactly = (what: string, actual: tf.Tensor, expected: ArrayLike<number>): Judged => ({
  ...{what, actual, expected},
  allowed: () => 0,
});

/** Sums of products: each product and each addition rounds once. */
const sums = (what: string, actual: tf.Tensor, {sum, magnitude}: Sums, length = dim): Judged => ({
  ...{what, actual, expected: sum},
  allowed: i => (length + 2) * ulp * magnitude[i]! + floor,
});

const byOp: Readonly<Record<string, (given: Given) => Judged[]>> = {
  append: ({numbers}) => {
    const x = tf.tensor4d(numbers, [1, 2, rows / 2, dim]);
    return [exactly('rows', append(append(undefined, x, 0, 3), x, 0, 3), numbers)];
  },

  batched_matmul: ({numbers, weights}) => {
    const [x, w] = [numbers, weights].map(side => tf.tensor3d(side, [1, rows, dim]));
    const turned = (side: tf.Tensor3D): tf.Tensor3D => tf.transpose(side, [0, 2, 1]);
    const expected = productsOf(numbers, weights, dim);
    return [
      sums('A B^T', batchedMatMul(x!, w!, {transposeB: true}), expected),
      sums('A B', batchedMatMul(x!, turned(w!)), expected),
      sums('A^T B', batchedMatMul(turned(x!), turned(w!), {transposeA: true}), expected),
    ];
  },

  embed: ({numbers}) => {
    const ids = [5, 0, 5, 1];
    const table = tf.tensor2d(numbers, [rows, dim]);
    const look = (x: tf.Tensor) => embed(tf.tensor2d(ids, [1, 4], 'int32'), x as tf.Tensor2D);
    const dy = numbers.subarray(0, 4 * dim);
    const taken = {sum: new Float64Array(size), magnitude: new Float64Array(size)};
    for (const [token, id] of ids.entries()) {
      for (let c = 0; c < dim; c++) add(taken, id * dim + c, dy[token * dim + c]!);
    }
    return [
      exactly(
        'rows',
        look(table),
        ids.flatMap(id => [...numbers.subarray(id * dim, (id + 1) * dim)]),
      ),
      sums('dTable', tf.grad(look)(table, tf.tensor3d(dy, [1, 4, dim])), taken, ids.length),
    ];
  },

  finite: ({numbers}) => {
    // GPU backends do not know
    const known = (bad?: number): boolean =>
      allFinite(tf.tensor1d(bad === undefined ? numbers : numbers.with(size - 1, bad))) ?? bad === undefined;
    const answers = [known(), known(NaN), known(Infinity), known(-Infinity)];
    return [{what: 'finite', actual: answers, expected: [true, false, false, false], allowed: () => 0}];
  },

  gather_tokens: ({numbers}) => {
    const x = tf.tensor4d(numbers, [1, 1, rows, dim]);
    const indices = [4, 0, 4, 5];
    const kept = gatherRows(x, tf.tensor3d(indices, [1, 1, 4], 'int32'));
    return [
      exactly(
        'rows',
        kept,
        indices.flatMap(row => [...numbers.subarray(row * dim, (row + 1) * dim)]),
      ),
    ];
  },

  hadamard: ({numbers}) => {
    const signs = Float64Array.from({length: dim * dim}, (_, at) => {
      const shared = (Math.floor(at / dim) & (at % dim)).toString(2).replaceAll('0', '').length;
      return (shared % 2 === 0 ? 1 : -1) / Math.sqrt(dim);
    });
    const expected = productsOf(numbers, signs, dim);
    const x = tf.tensor2d(numbers, [rows, dim]);
    return [
      sums('y', hadamard(x), expected),
      sums('dx', tf.grad(input => hadamard(input))(x, x), expected), // the matrix is symmetric
    ];
  },

  linear: ({numbers, weights}) => {
    const [x, kernel] = [
      tf.tensor2d(numbers, [rows, dim]),
      tf.tensor2d(transposed(weights, dim), [dim, rows]),
    ];
    const dy = randomFloats(9, rows * rows);
    const [dx, dKernel] = tf.grads((a, w) => linear(a, w))([x, kernel], tf.tensor2d(dy, [rows, rows]));
    const product = productsOf(numbers, weights, dim);
    const [bias, residual] = [numbers.slice(0, rows), numbers.slice(rows, rows + rows * rows)];
    const summed = {sum: Float64Array.from(product.sum), magnitude: Float64Array.from(product.magnitude)};
    for (let at = 0; at < rows * rows; at++) {
      add(summed, at, bias[at % rows]!);
      add(summed, at, residual[at]!);
    }
    const y = linear(x, kernel, {bias: tf.tensor1d(bias), residual: tf.tensor2d(residual, [rows, rows])});
    return [
      sums('y', linear(x, kernel), product),
      sums('y with bias and residual', y, summed, dim + 2),
      sums('dx', dx!, productsOf(dy, transposed(weights, dim), rows), rows),
      sums('dKernel', dKernel!, productsOf(transposed(numbers, dim), transposed(dy, rows), rows), rows),
    ];
  },

  low_rank: ({numbers, weights}) => {
    const x = tf.tensor4d(numbers, [1, 2, rows / 2, dim]);
    const basis = tf.tensor4d(weights, [1, 1, rows, dim]);
    // a partial of two queries, whose latents are six numbers each
    const latents = numbers.slice(0, 2 * rows);
    const [max, sum] = [3, 5];
    const mean = numbers.slice(0, dim);
    const partial = tf.tensor4d(
      [0, 1].flatMap(query => [...latents.subarray(query * rows, (query + 1) * rows), max, sum]),
      [1, 1, 2, rows + 2],
    );
    const expanded = expandPartial(partial, {
      basis,
      mean: tf.tensor4d(mean, [1, 1, 1, dim]),
      shift: tf.tensor4d([0.5, -2], [1, 1, 2, 1]),
    });
    const outputs = {sum: new Float64Array(2 * (dim + 2)), magnitude: new Float64Array(2 * (dim + 2))};
    for (const query of [0, 1]) {
      for (let c = 0; c < dim; c++) {
        for (let r = 0; r < rows; r++) {
          add(outputs, query * (dim + 2) + c, latents[query * rows + r]! * weights[r * dim + c]!);
        }
        add(outputs, query * (dim + 2) + c, sum * mean[c]!);
      }
      add(outputs, query * (dim + 2) + dim, max + [0.5, -2][query]!);
      add(outputs, query * (dim + 2) + dim + 1, sum);
    }
    // row c of a basis is a multiple of one axis: 1, 2 or 4 times axis c + 1
    const axes = Float32Array.from({length: dim * dim}, (_, at) =>
      at % dim === (Math.floor(at / dim) + 1) % dim ? 2 ** (Math.floor(at / dim) % 3) : 0,
    );
    const solved = coefficients(tf.tensor4d(numbers, [1, 1, rows, dim]), tf.tensor4d(axes, [1, 1, dim, dim]));
    const multiples = Float64Array.from({length: rows * dim}, (_, at) => {
      const channel = at % dim;
      return numbers[at - channel + ((channel + 1) % dim)]! / 2 ** (channel % 3);
    });
    return [
      sums('project', project(x, basis), productsOf(numbers, weights, dim)),
      sums('expandPartial', expanded, outputs, rows + 1),
      sums('coefficients', solved, {sum: multiples, magnitude: multiples.map(Math.abs)}),
    ];
  },

  merge_partials: ({numbers}) => {
    // three partials of two queries: one far below the others, one that saw nothing
    const states = [
      [2, 3],
      [-1e30, 7],
      [1.5, 2],
    ] as const;
    const outputs = states.map((_, s) => numbers.subarray(s * 2 * dim, (s + 1) * 2 * dim));
    const partials = states.map(([max, sum], s) =>
      tf.tensor4d(
        [0, 1].flatMap(query => [...outputs[s]!.subarray(query * dim, (query + 1) * dim), max, sum]),
        [1, 1, 2, dim + 2],
      ),
    );
    partials.push(tf.tensor4d(nothingSeen(2), [1, 1, 2, dim + 2]));
    const factors = states.map(([max]) => Math.exp(max - 2));
    const total = states.reduce((sum, state, s) => sum + state[1] * factors[s]!, 0);
    const merged = {sum: new Float64Array(2 * dim), magnitude: new Float64Array(2 * dim)};
    for (let i = 0; i < 2 * dim; i++) {
      for (const [s, factor] of factors.entries()) add(merged, i, (factor / total) * outputs[s]![i]!);
    }
    const logSum = {sum: [2 + Math.log(total), 2 + Math.log(total)], magnitude: [4, 4]};
    return [
      sums('output', mergePartials(partials), merged, 16), // those of e^x are among them
      sums('logSum', partialLogSum(partials), logSum),
    ];
  },

  rms_norm: ({numbers}) => {
    const gains = randomFloats(8, dim);
    const dy = randomFloats(9, size);
    const x = tf.tensor2d(numbers, [rows, dim]);
    const norm = (a: tf.Tensor, gain: tf.Tensor) => rmsNorm(a, gain, 1e-6);
    const {y, dx, dGain} = normOracle(numbers, gains, dy, 1e-6);
    const [ofX, ofGain] = tf.grads(norm)([x, tf.tensor1d(gains)], tf.tensor2d(dy, [rows, dim]));
    return [
      {
        ...{what: 'y', actual: norm(x, tf.tensor1d(gains)), expected: y},
        allowed: i => (dim + 8) * ulp * Math.abs(y[i]!) + floor,
      },
      sums('dx', ofX!, dx, 2 * dim),
      sums('dGain', ofGain!, dGain, 2 * dim),
    ];
  },

  rotate: ({numbers}) => {
    const angles = Float64Array.from({length: (rows * dim) / 2}, (_, i) => Math.sin(i) * 3);
    const [cos, sin] = [Math.cos, Math.sin].map(turn => Float32Array.from(angles, turn));
    const tensors = [cos!, sin!].map(table => tf.tensor2d(table, [rows, dim / 2]));
    return [false, true].flatMap(interleaved =>
      [1, -1].map(way => {
        const turned = {sum: new Float64Array(size), magnitude: new Float64Array(size)};
        for (let pair = 0; pair < size / 2; pair++) {
          const [row, i] = [Math.floor((2 * pair) / dim), pair % (dim / 2)];
          const [a, b] = interleaved ? [2 * i, 2 * i + 1] : [i, i + dim / 2];
          const [first, second] = [row * dim + a, row * dim + b];
          add(turned, first, numbers[first]! * cos![pair]!);
          add(turned, first, -way * numbers[second]! * sin![pair]!);
          add(turned, second, numbers[second]! * cos![pair]!);
          add(turned, second, way * numbers[first]! * sin![pair]!);
        }
        const run = (x: tf.Tensor) =>
          rotate(x as tf.Tensor4D, {cos: tensors[0]!, sin: tensors[1]!, interleaved});
        const x = tf.tensor4d(numbers, [1, 1, rows, dim]);
        // the gradient rotates back
        return sums(way === 1 ? 'y' : 'dx', way === 1 ? run(x) : tf.grad(run)(x, x), turned, 2);
      }),
    );
  },

  swiglu: ({numbers, weights}) => {
    const [gate, up] = [tf.tensor1d(numbers), tf.tensor1d(weights)];
    const expected = numbers.map((x, i) => (x * weights[i]!) / (1 + Math.exp(-x)));
    const [, dUp] = tf.grads((a, b) => swiglu(a, b))([gate, up]);
    const silu = Float64Array.from(numbers, x => x / (1 + Math.exp(-x)));
    return [
      {
        ...{what: 'y', actual: swiglu(gate, up), expected},
        // silu of a denormal number is one
        allowed: i =>
          8 * ulp * Math.abs(numbers[i]! * weights[i]!) + 2 ** -149 * Math.abs(weights[i]!) + floor,
      },
      {...{what: 'dUp', actual: dUp!, expected: silu}, allowed: i => 8 * ulp * Math.abs(numbers[i]!) + floor},
    ];
  },

  swiglu_linear: ({numbers, weights}) => {
    // of one output: its products are rounded, and their errors grow by the slope of silu, at most 1.1, and the other product
    const [x, w] = [tf.tensor2d(numbers, [rows, dim]), tf.tensor2d(weights.subarray(0, dim), [dim, 1])];
    const {sum, magnitude} = productsOf(numbers, weights.subarray(0, dim), dim);
    const expected = Float64Array.from(sum, u => (u * u) / (1 + Math.exp(-u)));
    return [
      {
        ...{what: 'y', actual: swigluLinear(x, w, w), expected},
        allowed: i => {
          const product = (dim + 2) * ulp * magnitude[i]! + floor;
          return product * (2.1 * Math.abs(sum[i]!) + 1.1 * product) + 8 * ulp * sum[i]! ** 2 + floor;
        },
      },
    ];
  },

  lm_head: ({numbers, weights}) => {
    const [x, embedding] = [tf.tensor2d(numbers, [rows, dim]), tf.tensor2d(weights, [rows, dim])];
    const run = (a: tf.Tensor, b: tf.Tensor) => lmHead(a, b as tf.Tensor2D);
    const dy = randomFloats(9, rows * rows);
    const [dx, dEmbedding] = tf.grads(run)([x, embedding], tf.tensor2d(dy, [rows, rows]));
    return [
      sums('logits', run(x, embedding), productsOf(numbers, weights, dim)),
      sums('dx', dx!, productsOf(dy, transposed(weights, dim), rows), rows),
      sums('dEmbedding', dEmbedding!, productsOf(transposed(dy, rows), transposed(numbers, dim), rows), rows),
    ];
  },
};

/** Ops whose extremes are tested beside their encodings, scores or matrices. */
const elsewhere: Readonly<Record<string, string>> = {
  attend: 'test/ops/attention/attend_extremes.test.ts',
  statistics: 'test/ops/attention/attend_extremes.test.ts',
  causal: 'test/ops/attention/attend_extremes.test.ts',
  float8: 'test/cache/codec_extremes.test.ts',
  integer: 'test/cache/codec_extremes.test.ts',
  linalg: 'test/ops/linalg/extremes.test.ts',
  lloyd_max: 'test/cache/codec_extremes.test.ts',
  gather_tiled: 'test/ops/gather_tokens.test.ts', // moves codes, bit for bit
  refit: 'test/ops/refit',
  unpack: 'test/ops/weights/records.test.ts',
};

describe('ops at the extremes', () => {
  it('are here, all of them', () => {
    const folders = ['../../ops', '../../ops/attention']
      .flatMap(path => readdirSync(new URL(path, import.meta.url), {withFileTypes: true}))
      .filter(
        entry =>
          entry.isDirectory() &&
          !['assembly', 'backends', 'attention', 'encodings', 'threads', 'weights'].includes(entry.name),
      )
      .map(({name}) => name);
    expect(Object.keys({...byOp, ...elsewhere}).sort()).to.deep.equal(folders.sort());
  });
});

/** GPUs and TensorFlow take denormal numbers for zeros. */
const keepsDenormals = (backend: string): boolean => backend === 'cpu' || backend === 'wasm';

for (const [op, run] of Object.entries(byOp)) {
  describeOnBackends(`${op} at the extremes`, backend => {
    for (const [name, make] of Object.entries(extremes)) {
      if (name === 'denormal numbers' && !keepsDenormals(backend)) continue;
      it(`keeps its error bound: ${name}`, async () => {
        let judged: Judged[] = [];
        const tensors = tf.tidy(() => {
          judged = run(given(make));
          return judged.flatMap(({actual}) => (actual instanceof tf.Tensor ? [actual] : []));
        });
        for (const {what, actual, expected, allowed} of judged) {
          const numbers = actual instanceof tf.Tensor ? await actual.data() : actual;
          expect(numbers.length, what).to.equal(expected.length);
          for (let i = 0; i < expected.length; i++) {
            if (!(Math.abs(Number(numbers[i]) - Number(expected[i])) <= allowed(i))) {
              expect.fail(`${what} ${i}: ${numbers[i]}; expected ${expected[i]} within ${allowed(i)}`);
            }
          }
        }
        tf.dispose(tensors);
      });
    }
  });
}

function given(make: MakeNumber): Given {
  const numbers = randomFloats(3, size).map((random, i) => make(Math.floor(i / dim), i % dim, random));
  const largest = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  return {numbers, weights: randomFloats(6, size).map(x => x / largest)};
}

/** Sums in float64, and the sums of the magnitudes of what was added. */
interface Sums {
  readonly sum: ArrayLike<number>;
  readonly magnitude: ArrayLike<number>;
}

function add({sum, magnitude}: {sum: Float64Array; magnitude: Float64Array}, at: number, x: number): void {
  sum[at]! += x;
  magnitude[at]! += Math.abs(x);
}

/** a [m, k] b [n, k]^T. */
function productsOf(a: ArrayLike<number>, b: ArrayLike<number>, k: number): Sums {
  const [m, n] = [a.length / k, b.length / k];
  const all = {sum: new Float64Array(m * n), magnitude: new Float64Array(m * n)};
  for (let at = 0; at < m * n; at++) {
    for (let i = 0; i < k; i++) add(all, at, a[Math.floor(at / n) * k + i]! * b[(at % n) * k + i]!);
  }
  return all;
}

function transposed(a: Float32Array, columns: number): Float32Array {
  const height = a.length / columns;
  return a.map((_, at) => a[(at % height) * columns + Math.floor(at / height)]!);
}

/** Rows of a partial of queries that saw no token. */
const nothingSeen = (queries: number): number[] =>
  Array.from({length: queries}, () => [...Array<number>(dim).fill(0), -Infinity, 0]).flat();

/** Root mean square normalisation and its gradients, by their definitions. */
function normOracle(x: Float32Array, gains: Float32Array, dy: Float32Array, epsilon: number) {
  const y = new Float64Array(size);
  const dx = {sum: new Float64Array(size), magnitude: new Float64Array(size)};
  const dGain = {sum: new Float64Array(dim), magnitude: new Float64Array(dim)};
  for (let row = 0; row < rows; row++) {
    const at = (c: number) => row * dim + c;
    let squares = 0;
    for (let c = 0; c < dim; c++) squares += x[at(c)]! ** 2;
    const factor = 1 / Math.sqrt(squares / dim + epsilon);
    for (let c = 0; c < dim; c++) {
      y[at(c)] = x[at(c)]! * factor * gains[c]!;
      add(dGain, c, dy[at(c)]! * x[at(c)]! * factor);
      add(dx, at(c), dy[at(c)]! * gains[c]! * factor);
      for (let other = 0; other < dim; other++) {
        const along = dy[at(other)]! * gains[other]! * x[at(other)]! * factor;
        add(dx, at(c), (-x[at(c)]! * factor * along * factor) / dim);
      }
    }
  }
  return {y, dx, dGain};
}
