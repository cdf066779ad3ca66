import type * as tf from '@tensorflow/tfjs';
import {type Dtype, dtypes, type Handle, type OpAttributes, tensorflowEager} from './tensorflow_eager.js';

// Attributes that are no dtype of an input. They are translated once each.
const none: OpAttributes = {};
const ofDtypes = (attribute: string) =>
  Object.fromEntries(dtypes.map(dtype => [dtype, {[attribute]: dtype}])) as Record<Dtype, OpAttributes>;
const bitcasts = ofDtypes('type');
const casts = ofDtypes('DstT');

/**
 * Tensors on TensorFlow's device, and its ops that make, move, and convert them. Ops that move int32 would work in the host's memory, so int32 is
 * moved as float32, and uint8 as int8 where there is no other kernel for GPUs. (No bit changes: they are copied.)
 */
export class TensorflowTensors {
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
  protected ints(numbers: readonly number[]): Handle {
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
}
