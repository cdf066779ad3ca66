import type * as tf from '@tensorflow/tfjs';
import {Matrix, QrDecomposition} from 'ml-matrix';
import {onHost} from '../host_stacks.js';

/** `qr` by ml-matrix in float64 on the host: `[n, count, rows + columns]`, rows (column of Q, row of R), count = min(rows, columns). */
export function qrReference({x}: {x: tf.Tensor3D}): tf.Tensor3D {
  const [, rows, columns] = x.shape;
  return onHost('qr', x, [Math.min(rows, columns), rows + columns], matrix =>
    factorsOf(Matrix.from1DArray(rows, columns, [...matrix])),
  );
}

function factorsOf(matrix: Matrix): number[][] {
  const {rows, columns} = matrix;
  const count = Math.min(rows, columns);
  const q = new QrDecomposition(matrix.subMatrix(0, rows - 1, 0, count - 1)).orthogonalMatrix;
  const r = q.transpose().mmul(matrix);
  return Array.from({length: count}, (_, i) => {
    const sign = r.get(i, i) < 0 ? -1 : 1;
    const row = r.getRow(i).map((value, j) => (j < i ? 0 : sign * value));
    return [...q.getColumn(i).map(value => sign * value), ...row];
  });
}
