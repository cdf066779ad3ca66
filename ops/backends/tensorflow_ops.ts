import type * as tf from '@tensorflow/tfjs';
import {type Dtype, type Handle, type OpAttributes, tensorflowEager} from './tensorflow_eager.js';
import {TensorflowTensors} from './tensorflow_tensors.js';

export type {Handle} from './tensorflow_eager.js';

/**
 * Computes tensors by TensorFlow's ops on its own device. What `compute` makes on its way is freed.
 *
 * @param compute gives float32 or int32 tensors.
 */
export function withTensorflow(compute: (ops: TensorflowOps) => Handle[]): tf.Tensor[] {
  const ops = new TensorflowOps();
  let kept: Handle[] = [];
  try {
    kept = compute(ops).map(handle => ops.own(handle));
    return kept.map(handle => tensorflowEager()!.tensorOf(handle));
  } finally {
    ops.freeAll(kept);
  }
}

/** The same for one tensor. */
export function tensorflowTensor(compute: (ops: TensorflowOps) => Handle): tf.Tensor {
  return withTensorflow(ops => [compute(ops)])[0]!;
}

/** The lowest finite float32. */
export const lowest = -(2 - 2 ** -23) * 2 ** 127;

const transposed: OpAttributes = {adj_y: true};
const keeping: OpAttributes = {keep_dims: true};

/** TensorFlow's ops that our kernels consist of. All have a kernel for GPUs that works in the GPU's memory. */
export class TensorflowOps extends TensorflowTensors {
  /** Products of the matrices on the last two axes; the others broadcast. */
  matMul(a: Handle, b: Handle, {transposeB = false} = {}): Handle {
    return this.run('BatchMatMulV2', [a, b], transposeB ? transposed : undefined);
  }

  private scalar(value: number, dtype: Dtype): Handle {
    if (dtype === 'float32' || dtype === 'int32' || dtype === 'uint8')
      return this.constant([value], [], dtype);
    // nothing else can be uploaded
    if (dtype === 'float64') {
      const halves = new Int32Array(Float64Array.of(value).buffer);
      return this.bitcast(this.constant(halves, [2], 'int32'), dtype);
    }
    return this.cast(this.constant([value], [], 'int32'), dtype);
  }

  /** An op of two tensors of one dtype, which broadcast; a number is of the dtype of the other. */
  private binary(op: string, x: Handle | number, y: Handle | number): Handle {
    const {dtype} = (typeof x === 'number' ? y : x) as Handle;
    return this.run(
      op,
      [x, y].map(side => (typeof side === 'number' ? this.scalar(side, dtype) : side)),
    );
  }

  add = (x: Handle, y: Handle | number) => this.binary('AddV2', x, y);
  sub = (x: Handle | number, y: Handle | number) => this.binary('Sub', x, y);
  mul = (x: Handle, y: Handle | number) => this.binary('Mul', x, y);
  div = (x: Handle, y: Handle | number) => this.binary('RealDiv', x, y);
  /** 0 where y is 0. */
  divNoNan = (x: Handle, y: Handle | number) => this.binary('DivNoNan', x, y);
  maximum = (x: Handle, y: Handle | number) => this.binary('Maximum', x, y);
  minimum = (x: Handle, y: Handle | number) => this.binary('Minimum', x, y);
  lessEqual = (x: Handle, y: Handle | number) => this.binary('LessEqual', x, y);
  equal = (x: Handle, y: Handle | number) => this.binary('Equal', x, y);
  less = (x: Handle, y: Handle | number) => this.binary('Less', x, y);
  and = (x: Handle, y: Handle | number) => this.binary('BitwiseAnd', x, y);
  or = (x: Handle, y: Handle | number) => this.binary('BitwiseOr', x, y);
  shiftLeft = (x: Handle, y: Handle | number) => this.binary('LeftShift', x, y);
  shiftRight = (x: Handle, y: Handle | number) => this.binary('RightShift', x, y);

  private unary(op: string, x: Handle): Handle {
    return this.run(op, [x]);
  }

  isFinite = (x: Handle) => this.unary('IsFinite', x);
  abs = (x: Handle) => this.unary('Abs', x);
  floor = (x: Handle) => this.unary('Floor', x);
  /** To the nearest integer; of two, the even one. */
  round = (x: Handle) => this.unary('Round', x);
  log = (x: Handle) => this.unary('Log', x);
  sqrt = (x: Handle) => this.unary('Sqrt', x);
  exp = (x: Handle) => this.unary('Exp', x);
  tanh = (x: Handle) => this.unary('Tanh', x);

  /** `isSo ? x : y`; all broadcast. */
  select(isSo: Handle, x: Handle, y: Handle): Handle {
    return this.run('SelectV2', [isSo, x, y]);
  }

  private reduce(op: string, x: Handle, axis: number | readonly number[], keepDims: boolean): Handle {
    const axes = [axis].flat().map(each => (each < 0 ? x.shape.length + each : each));
    return this.run(op, [x, this.ints(axes)], keepDims ? keeping : undefined);
  }

  sum = (x: Handle, axis: number, keepDims = false) => this.reduce('Sum', x, axis, keepDims);
  max = (x: Handle, axis: number, keepDims = false) => this.reduce('Max', x, axis, keepDims);
  min = (x: Handle, axis: number, keepDims = false) => this.reduce('Min', x, axis, keepDims);
  /** Of bool: whether all are true. */
  all = (x: Handle, axes: readonly number[], keepDims = false) => this.reduce('All', x, axes, keepDims);
}
