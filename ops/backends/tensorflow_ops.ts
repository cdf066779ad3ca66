import type * as tf from '@tensorflow/tfjs';
import {type Dtype, dtypes, type Handle, type OpAttributes, tensorflowEager} from './tensorflow_eager.js';

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

// Attributes that are no dtype of an input. They are translated once each.
const none: OpAttributes = {};
const transposed: OpAttributes = {adj_y: true};
const keeping: OpAttributes = {keep_dims: true};
const ofDtypes = (attribute: string) =>
  Object.fromEntries(dtypes.map(dtype => [dtype, {[attribute]: dtype}])) as Record<Dtype, OpAttributes>;
const bitcasts = ofDtypes('type');
const casts = ofDtypes('DstT');

/**
 * TensorFlow's ops that our kernels consist of. All have a kernel for GPUs that works in the GPU's memory: those that move int32 would work in
 * the host's, so int32 is moved as float32, and uint8 as int8 where there is no other kernel. (No bit changes: they are copied.)
 */
export class TensorflowOps {
  private readonly eager = tensorflowEager()!;
  private readonly made = new Set<Handle>();

  constructor() {
    this.eager.forgetConstants();
  }

  freeAll(except: readonly Handle[]): void {
    for (const handle of this.made) if (!except.includes(handle)) this.eager.free(handle);
    this.made.clear();
  }

  /** A tensor that was made here, and not one of tfjs: the same memory if need be. */
  own(x: Handle): Handle {
    return this.made.has(x) ? x : this.moved(x, y => this.run('Identity', [y]));
  }

  /** A tensor of tfjs. */
  of(tensor: tf.TensorInfo): Handle {
    return this.eager.handleOf(tensor);
  }

  /** An op with one output. */
  run(op: string, inputs: readonly Handle[], attributes: OpAttributes = none): Handle {
    return this.runAll(op, inputs, attributes, 1)[0]!;
  }

  /** An op with several outputs: all of them. @param attributes translated once: an object that lives as long as the program. */
  runAll(op: string, inputs: readonly Handle[], attributes: OpAttributes, outputs: number): Handle[] {
    const handles = this.eager.run(op, inputs, attributes, outputs);
    for (const handle of handles) this.made.add(handle);
    return handles;
  }

  constant(
    numbers: ArrayLike<number>,
    shape: readonly number[],
    dtype: 'float32' | 'int32' | 'uint8',
  ): Handle {
    const arrays = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array};
    const values = arrays[dtype].from(numbers);
    if (values.length <= 10) return this.eager.constant(values, shape, dtype);
    const handle = this.eager.upload(values, shape, dtype);
    this.made.add(handle);
    return handle;
  }

  /** float32 zeros in memory of their own. */
  zeros(shape: readonly number[]): Handle {
    const handle = this.eager.upload(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, 'float32');
    this.made.add(handle);
    return handle;
  }

  floats(numbers: ArrayLike<number>, shape: readonly number[] = [numbers.length]): Handle {
    return this.constant(numbers, shape, 'float32');
  }

  /** What TensorFlow reads on the host: shapes, axes, places. */
  private ints(numbers: readonly number[]): Handle {
    return this.constant(numbers, [numbers.length], 'int32');
  }

  private axis(axis: number): Handle {
    return this.constant([axis], [], 'int32');
  }

  /** The same memory as numbers of another dtype. The last axis is that of the parts of a number, before or after, if sizes differ. */
  bitcast(x: Handle, dtype: Dtype): Handle {
    return x.dtype === dtype ? x : this.run('Bitcast', [x], bitcasts[dtype]);
  }

  cast(x: Handle, dtype: Dtype): Handle {
    return x.dtype === dtype ? x : this.run('Cast', [x], casts[dtype]);
  }

  private moved(x: Handle, move: (x: Handle) => Handle): Handle {
    return x.dtype === 'int32' ? this.bitcast(move(this.bitcast(x, 'float32')), 'int32') : move(x);
  }

  /** Shares the memory of x. */
  reshape(x: Handle, shape: readonly number[]): Handle {
    if (shape.length === x.shape.length && shape.every((size, axis) => size === x.shape[axis])) return x;
    return this.moved(x, y => this.run('Reshape', [y, this.ints(shape)]));
  }

  /** May share the memory of x. @param size -1 is all that there is. */
  slice(x: Handle, begin: readonly number[], size: readonly number[]): Handle {
    if (
      begin.every(from => from === 0) &&
      size.every((count, axis) => count === -1 || count === x.shape[axis])
    )
      return x;
    if (x.dtype === 'uint8') return this.bitcast(this.slice(this.bitcast(x, 'int8'), begin, size), 'uint8');
    return this.moved(x, y => this.run('Slice', [y, this.ints(begin), this.ints(size)]));
  }

  /** Places `from .. from + count` of one axis. */
  part(x: Handle, axis: number, from: number, count: number): Handle {
    const at = axis < 0 ? x.shape.length + axis : axis;
    return this.slice(
      x,
      x.shape.map((_, i) => (i === at ? from : 0)),
      x.shape.map((size, i) => (i === at ? count : size)),
    );
  }

  /** Zeros at the end of the last axis, up to `size`. */
  padRows(x: Handle, size: number): Handle {
    const rank = x.shape.length;
    const missing = size - x.shape.at(-1)!;
    if (missing === 0) return x;
    const paddings = Array.from({length: 2 * rank}, (_, i) => (i === 2 * rank - 1 ? missing : 0));
    return this.moved(x, y => this.run('Pad', [y, this.constant(paddings, [rank, 2], 'int32')]));
  }

  concat(parts: readonly Handle[], axis: number): Handle {
    const [first] = parts as [Handle];
    if (parts.length === 1) return first;
    if (first.dtype === 'int32') {
      const floats = parts.map(part => this.bitcast(part, 'float32'));
      return this.bitcast(this.concat(floats, axis), 'int32');
    }
    const at = axis < 0 ? first.shape.length + axis : axis;
    return this.run('ConcatV2', [...parts, this.axis(at)], {N: parts.length, T: first.dtype});
  }

  /** float32 tensors of one shape `[..., n]` as `[..., n, parts]`. */
  stack(parts: readonly Handle[]): Handle {
    const axis = parts[0]!.shape.length;
    return this.run('Pack', parts, {N: parts.length, T: 'float32', axis});
  }

  transpose(x: Handle, order: readonly number[]): Handle {
    return this.run('Transpose', [x, this.ints(order)]);
  }

  /** The same numbers along an axis in the opposite order. */
  reverse(x: Handle, axis: number): Handle {
    return this.run('ReverseV2', [x, this.ints([axis])]);
  }

  /** Slices of `x` along an axis by their indices, int32; the first `batchDims` axes of both belong together. */
  gather(x: Handle, indices: Handle, axis = 0, batchDims = 0): Handle {
    return this.moved(x, y => this.run('GatherV2', [y, indices, this.axis(axis)], {batch_dims: batchDims}));
  }

  /** `x[indices[i]] = rows[i]` in x's own memory, x of two axes. An index beyond is taken modulo the rows, without an error. */
  writeRows(x: Handle, indices: Handle, rows: Handle): void {
    const [target, source] = [x, rows].map(y => (y.dtype === 'int32' ? this.bitcast(y, 'float32') : y)) as [
      Handle,
      Handle,
    ];
    this.run('InplaceUpdate', [target, indices, source]);
  }

  /** Products of the matrices on the last two axes; the others broadcast. */
  matMul(a: Handle, b: Handle, {transposeB = false} = {}): Handle {
    return this.run('BatchMatMulV2', [a, b], transposeB ? transposed : none);
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
    return this.run(op, [x, this.ints(axes)], keepDims ? keeping : none);
  }

  sum = (x: Handle, axis: number, keepDims = false) => this.reduce('Sum', x, axis, keepDims);
  max = (x: Handle, axis: number, keepDims = false) => this.reduce('Max', x, axis, keepDims);
  min = (x: Handle, axis: number, keepDims = false) => this.reduce('Min', x, axis, keepDims);
  /** Of bool: whether all are true. */
  all = (x: Handle, axes: readonly number[], keepDims = false) => this.reduce('All', x, axes, keepDims);
}
