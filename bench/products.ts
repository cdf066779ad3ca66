/**
 * What the products of a model take with each format of its weights, in turns, one thread, medians:
 *
 *     npx tsx bench/products.ts [--rows 1,4,16,128] [--formats packed4,packed8] [--depths 30] [--rounds 5]
 *
 * The shapes are those of SmolLM2-135M: the 210 products of its layers, each with memory of its own, and its head. Beside them are
 * float32 weights as tfjs multiplies by them, which keeps a copy of each kernel of the layers.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../ops/backends/wasm_heap.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {type LinearOptions, linear} from '../ops/linear/index.js';
import {lmHead} from '../ops/lm_head/index.js';
import {type WeightFormat, matrixBytes, weightFormats} from '../ops/weights/formats.js';
import {type Matrix, type PackedMatrix, isPacked} from '../ops/weights/matrix.js';
import {measure} from './support/measure.js';
import {randomRecords} from './support/random_records.js';

type Activations = NonNullable<LinearOptions['activations']>;
type Sizes = readonly [inputs: number, outputs: number];

/** q, k, v, output, gate, up, down. */
const layer: readonly Sizes[] = [
  ...([
    [576, 576],
    [576, 192],
    [576, 192],
    [576, 576],
  ] as const),
  ...([
    [576, 1536],
    [576, 1536],
    [1536, 576],
  ] as const),
];
const head: Sizes = [576, 49_152];

/** Matrices of one format that a pass multiplies by. */
interface Weights {
  readonly what: 'layers' | 'head';
  readonly format: WeightFormat;
  readonly matrices: readonly {inputs: number; matrix: Matrix}[];
}

/** One of those that take turns. */
interface Candidate {
  readonly name: string;
  readonly format: WeightFormat;
  multiply(x: tf.Tensor2D, matrix: Matrix, what: Weights['what']): tf.Tensor;
}

const ours = (format: WeightFormat, activations?: Activations): Candidate => ({
  name: activations === undefined ? format : `${format}, ${activations}`,
  format,
  multiply: (x, matrix, what) =>
    what === 'head'
      ? lmHead(x, matrix as tf.Tensor2D | PackedMatrix, {activations})
      : linear(x, matrix, {activations}),
});

/** The head is stored as the embedding: an output per row. */
const tfjs: Candidate = {
  name: 'tfjs',
  format: 'float32',
  multiply: (x, matrix, what) => tf.matMul(x, matrix as tf.Tensor2D, false, what === 'head'),
};

async function main(): Promise<void> {
  const {values: options} = parseArgs({
    options: {
      rows: {type: 'string', default: '1,4,16,128'},
      formats: {type: 'string', default: weightFormats.join(',')},
      depths: {type: 'string', default: '30'},
      rounds: {type: 'string', default: '5'},
    },
  });
  const named = options.formats.split(',');
  const formats = weightFormats.filter(format => named.includes(format));
  await useBackend('wasm');
  const relaxed = wasmHeap()?.hasRelaxedSimd === true;
  console.log(`Kernels for ${relaxed ? 'relaxed' : 'plain'} SIMD; ratios are to tfjs' time.`);
  const candidates = [tfjs, ...formats.map(format => ours(format))];
  if (relaxed && formats.includes('packed4')) candidates.push(ours('packed4', 'int8'));
  const layers = Array.from({length: Number(options.depths)}, () => layer).flat();
  for (const [what, shapes] of [
    ['layers', layers],
    ['head', [head]],
  ] as const) {
    const weights = new Map(
      [...new Set(candidates.map(({format}) => format))].map(format => [
        format,
        weightsOf(what, format, shapes),
      ]),
    );
    for (const rows of options.rows.split(',').map(Number)) {
      await report(candidates, weights, shapes, rows, Number(options.rounds));
    }
    for (const {matrices} of weights.values()) {
      for (const {matrix} of matrices) (isPacked(matrix) ? matrix.records : matrix).dispose();
    }
  }
}

async function report(
  candidates: readonly Candidate[],
  weights: ReadonlyMap<WeightFormat, Weights>,
  shapes: readonly Sizes[],
  rows: number,
  rounds: number,
): Promise<void> {
  const xs = new Map(
    shapes.map(([inputs]) => inputs).map(inputs => [inputs, tf.randomNormal<tf.Rank.R2>([rows, inputs])]),
  );
  const pass =
    ({format, multiply}: Candidate) =>
    () => {
      const {what, matrices} = weights.get(format)!;
      for (const {inputs, matrix} of matrices) multiply(xs.get(inputs)!, matrix, what).dispose();
    };
  const tasks = Object.fromEntries(candidates.map(candidate => [candidate.name, pass(candidate)]));
  const ms = await measure(tasks, rounds, 1, 0);
  const sum = (of: (inputs: number, outputs: number) => number) =>
    shapes.reduce((total, [inputs, outputs]) => total + of(inputs, outputs), 0);
  for (const {name, format} of candidates) {
    const time = ms[name]!;
    const figures = [
      [time, 'ms'],
      [time / ms['tfjs']!, 'of tfjs'],
      [sum((inputs, outputs) => 2 * rows * inputs * outputs) / time / 1e6, 'GFLOP/s'],
      [sum((inputs, outputs) => matrixBytes(format, inputs, outputs)) / time / 1e6, 'GB/s'],
    ] as const;
    const text = figures.map(([figure, unit]) => `${figure.toFixed(2).padStart(9)} ${unit}`).join('');
    console.log(`${weights.get(format)!.what}, ${rows} rows, ${name}`.padEnd(32) + text);
  }
  tf.dispose([...xs.values()]);
}

function weightsOf(what: Weights['what'], format: WeightFormat, shapes: readonly Sizes[]): Weights {
  const matrices = shapes.map(([inputs, outputs]) => {
    if (format !== 'float32') {
      return {inputs, matrix: {format, inputs, outputs, records: randomRecords(format, inputs, outputs)}};
    }
    const shape = what === 'head' ? [outputs, inputs] : [inputs, outputs];
    return {inputs, matrix: tf.randomNormal(shape, 0, 0.05)};
  });
  return {what, format, matrices};
}

await main();
