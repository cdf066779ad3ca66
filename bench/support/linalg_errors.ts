import * as tf from '@tensorflow/tfjs';
import {type BackendName, useBackend} from '../../ops/backends/use_backend.js';
import {eigh, svd} from '../../ops/linalg/index.js';
import {decompositionErrors} from '../../test/support/decomposition_errors.js';
import {readGolden} from '../../test/support/golden.js';
import {type SpectralMatrix, spectralMatrix} from '../../test/support/spectral_matrix.js';
import type {Figure} from './history.js';

type Case = SpectralMatrix & {readonly values: readonly number[]};
const golden = readGolden('linalg/decompositions.json') as {
  readonly singular: readonly Case[];
  readonly eigen: readonly Case[];
};

/** What a matrix is known by in the table: its condition, or why it has none. */
const conditionOf = ({kind, decades}: SpectralMatrix) =>
  kind === 'spectrum' ? `1e${decades}` : {gap: 'deficient', equal: 'equal', columns: 'columns'}[kind]!;

/** The worst errors of `eigh` and `svd` on a backend beside NumPy in float64: by size and condition those of values, by size all others. */
export async function linalgErrors(backend: BackendName): Promise<Figure[]> {
  await useBackend(backend);
  if (backend === 'webgpu') tf.env().set('WEBGPU_CPU_FORWARD', false); // small tensors would be computed on cpu
  const figures: {
    op: string;
    size: string;
    condition: string;
    values: number;
    residual: number;
    orthogonality: number;
  }[] = [];
  for (const [op, cases] of [
    ['eigh', golden.eigen],
    ['svd', golden.singular],
  ] as const) {
    for (const of of cases.filter(({rows, columns}) => Math.min(rows, columns) >= 16)) {
      const errors = await errorsOf(op, of);
      const size = `${of.rows} x ${of.columns}`;
      const condition = conditionOf(of);
      const known = figures.find(
        figure => figure.op === op && figure.size === size && figure.condition === condition,
      );
      if (known === undefined) figures.push({op, size, condition, ...errors});
      else known.values = Math.max(known.values, errors.values);
      for (const same of figures.filter(figure => figure.op === op && figure.size === size)) {
        same.residual = Math.max(same.residual, errors.residual);
        same.orthogonality = Math.max(same.orthogonality, errors.orthogonality);
      }
    }
  }
  const largest = (key: 'residual' | 'orthogonality', {op, size}: {op: string; size: string}) =>
    Math.max(
      ...figures.filter(figure => figure.op === op && figure.size === size).map(figure => figure[key]),
    );
  return figures.map(figure => ({
    backend,
    ...figure,
    residual: largest('residual', figure),
    orthogonality: largest('orthogonality', figure),
  }));
}

async function errorsOf(op: 'eigh' | 'svd', of: Case) {
  const {rows, columns, values} = of;
  const given = spectralMatrix(of);
  const x =
    op === 'svd'
      ? given
      : given.map((value, at) => (value + given[(at % columns) * columns + Math.floor(at / columns)]!) / 2);
  const tensors = tf.tidy(() => {
    const input = tf.tensor2d(x, [rows, columns]);
    if (op === 'svd') return svd(input);
    const {values: s, vectors: vt} = eigh(input);
    return {u: tf.transpose(vt), s, vt};
  });
  const [u, s, vt] = await Promise.all(
    [tensors.u, tensors.s, tensors.vt].map(tensor => tensor.data<'float32'>()),
  );
  tf.dispose(tensors);
  return decompositionErrors(x, {u: u!, s: s!, vt: vt!}, values);
}
