/**
 * Errors and times of eigenkv/linalg: `npx tsx bench/linalg.ts [--only errors,times] [--backends wasm,cpu,webgpu] [--record]`.
 *
 * Errors: eigh and svd of the matrices of test/golden/linalg beside NumPy in float64, on each backend; webgpu in headless Chromium, on its
 * software driver; `--backends tensorflow` needs tfjs-node (docs/backends/tensorflow.md). Times: 90 matrices at once, a call of each in turns,
 * medians; beside it ml-matrix, matrix by matrix. Prints both, and with `--record` appends them to bench/history/linalg.jsonl.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs';
import {EigenvalueDecomposition, Matrix, QrDecomposition, SingularValueDecomposition} from 'ml-matrix';
import {chromium} from 'playwright-core';
import {type BackendName, useBackend} from '../ops/backends/use_backend.js';
import {eigh, qr, svd} from '../ops/linalg/index.js';
import {chromiumPath, chromiumSwitches, noChromium, patience} from '../test/support/chromium.js';
import {serveRepository} from '../test/ops/webgpu/browser/serve.js';
import {type Figure, record} from './support/history.js';
import {linalgErrors} from './support/linalg_errors.js';
import {measure} from './support/measure.js';

const {values: options} = parseArgs({
  options: {
    only: {type: 'string', default: 'errors,times'},
    backends: {type: 'string', default: 'wasm,cpu,webgpu'},
    record: {type: 'boolean', default: false},
  },
});

const parts = options.only.split(',');
if (parts.includes('errors')) {
  const errors: Figure[] = [];
  for (const backend of options.backends.split(',') as BackendName[]) {
    errors.push(...(backend === 'webgpu' ? await inChromium() : await linalgErrors(backend)));
  }
  await report('Errors beside NumPy in float64', errors);
}
if (parts.includes('times')) await report('Times of 90 matrices', await timesOn(['wasm'], [16, 64]));

async function report(subject: string, figures: readonly Figure[]): Promise<void> {
  console.table(figures);
  if (options.record) await record({what: 'linalg', subject, figures: figures.map(rounded)});
}

/** Three digits. */
function rounded(figure: Figure): Figure {
  return Object.fromEntries(
    Object.entries(figure).map(([key, value]) => [
      key,
      typeof value === 'string' ? value : Number(value.toPrecision(3)),
    ]),
  );
}

/** webgpu, where it is a browser's. */
async function inChromium(): Promise<Figure[]> {
  if (chromiumPath === undefined) {
    console.log(`webgpu: ${noChromium}`);
    return [];
  }
  const server = await serveRepository();
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: chromiumSwitches,
    timeout: patience,
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(patience);
    for (const name of ['reportLine', 'reportEnd']) await page.exposeFunction(name, () => undefined); // of its tests: none
    await page.goto(`${server.resolvedUrls!.local[0]!}test/ops/webgpu/browser/page.html`);
    const text = await page.evaluate<string>(`import('/bench/support/linalg_errors.ts')
      .then(({linalgErrors}) => linalgErrors('webgpu')).then(figures => JSON.stringify(figures))`);
    return JSON.parse(text) as Figure[];
  } finally {
    await browser.close();
    await server.close();
  }
}

async function timesOn(backends: readonly BackendName[], sizes: readonly number[]): Promise<Figure[]> {
  const count = 90;
  const figures: Figure[] = [];
  for (const dim of sizes) {
    const numbers = Float32Array.from({length: count * dim * dim}, (_, i) => Math.sin(i * i));
    const matrices = Array.from({length: count}, (_, n) =>
      Matrix.from1DArray(dim, dim, [...numbers.subarray(n * dim * dim, (n + 1) * dim * dim)]),
    );
    const symmetric = matrices.map(matrix => Matrix.add(matrix, matrix.transpose()));
    const ours = {eigh, svd, qr};
    const theirs = {
      eigh: () =>
        symmetric.map(matrix => new EigenvalueDecomposition(matrix, {assumeSymmetric: true}).realEigenvalues),
      svd: () => matrices.map(matrix => new SingularValueDecomposition(matrix).diagonal),
      qr: () => matrices.map(matrix => new QrDecomposition(matrix).orthogonalMatrix),
    };
    for (const op of ['eigh', 'svd', 'qr'] as const) {
      const tasks: Record<string, () => void> = {'ml-matrix': () => void theirs[op]()};
      for (const backend of backends) {
        await useBackend(backend);
        const x = tf.tensor3d(numbers, [count, dim, dim]);
        tasks[backend] = () => {
          tf.dispose(ours[op](x));
        };
      }
      const medians = await measure(tasks, 3, 1);
      for (const [by, ms] of Object.entries(medians)) figures.push({op, size: `${dim} x ${dim}`, by, ms});
    }
  }
  return figures;
}
