import * as tf from '@tensorflow/tfjs';
import {embed} from '../embed/index.js';
import {unpack} from '../unpack/index.js';
import type {WeightFormat} from './formats.js';
import {type PackedMatrix, isPacked} from './matrix.js';

/** What the records of a packed weight hold. */
export interface PackedLayout extends Omit<PackedMatrix, 'records'> {
  /** Whether the weight as float32 is a table `[outputs, inputs]`, as of an embedding, and not `[inputs, outputs]`. */
  readonly isTable: boolean;
}

/** The packed weights of all layers. */
const layouts = new WeakMap<tf.LayerVariable, PackedLayout>();

/** What ops take of them, made once. */
const matrices = new WeakMap<tf.LayerVariable, PackedMatrix>();

/**
 * Marks an int32 weight of a layer as the records of a matrix. Its `shape` is that of the float32 matrix from then on, while
 * the tensor that it holds has the shape of the records: tfjs counts parameters by the one (`countParams`, `summary`), and saves,
 * loads and checks by the other.
 */
export function markPacked(variable: tf.LayerVariable, layout: PackedLayout): void {
  const {inputs, outputs, isTable} = layout;
  layouts.set(variable, layout);
  Object.defineProperty(variable, 'shape', {value: isTable ? [outputs, inputs] : [inputs, outputs]});
}

/** How a weight of any layer is stored. */
export function formatOf(variable: tf.LayerVariable): WeightFormat {
  return layouts.get(variable)?.format ?? 'float32';
}

/** A weight of any layer as ops take it: the tensor, or the packed matrix. */
export function matrixOf(variable: tf.LayerVariable): tf.Tensor | PackedMatrix {
  const layout = layouts.get(variable);
  const tensor = variable.read();
  if (layout === undefined) return tensor;
  const known = matrices.get(variable);
  if (known?.records === tensor) return known;
  const {format, inputs, outputs} = layout;
  const matrix = {format, inputs, outputs, records: tensor as tf.Tensor3D};
  matrices.set(variable, matrix);
  return matrix;
}

/** A weight of any layer as a float32 tensor of its `shape`: the weight itself, or a new tensor if it is packed. */
export function floatsOf(variable: tf.LayerVariable): tf.Tensor {
  const matrix = matrixOf(variable);
  if (!isPacked(matrix)) return matrix;
  return tf.tidy(() => {
    const unpacked = unpack(matrix);
    return layouts.get(variable)!.isTable ? tf.transpose(unpacked) : unpacked;
  });
}

/** The numbers of a weight of any layer, row-major in its `shape`. */
export async function numbersOf(variable: tf.LayerVariable): Promise<Float32Array> {
  const floats = floatsOf(variable);
  try {
    return await floats.data<'float32'>();
  } finally {
    if (formatOf(variable) !== 'float32') floats.dispose();
  }
}

/**
 * The first numbers of a weight of any layer, row-major in its `shape`, as a new tensor: float32, to which GPU backends round integers that
 * they slice. A packed matrix is not unpacked for it. Numbers that two formats hold exactly are the same in both, but for the sign of a zero.
 */
export function firstNumbersOf(variable: tf.LayerVariable, most: number): tf.Tensor {
  return tf.tidy(() => {
    const floats = firstRows(variable, most);
    return tf.slice(tf.reshape(floats, [-1]), [0], [Math.min(most, floats.size)]);
  });
}

/** A float32 tensor that begins with the first numbers of a weight. */
function firstRows(variable: tf.LayerVariable, most: number): tf.Tensor {
  const matrix = matrixOf(variable);
  if (!isPacked(matrix)) return matrix;
  const {inputs, outputs} = matrix;
  const {isTable} = layouts.get(variable)!;
  const count = isTable ? Math.ceil(most / inputs) : most;
  const ids = tf.range(0, Math.min(outputs, count), 1, 'int32');
  const rows = tf.squeeze<tf.Tensor2D>(embed(tf.expandDims(ids), matrix), [0]);
  if (isTable) return rows;
  return tf.transpose(tf.slice(rows, [0, 0], [-1, Math.min(inputs, Math.ceil(most / outputs))]));
}
