import * as tf from '@tensorflow/tfjs';

// The kernels Slice and SplitV of tfjs' cpu backend allocate three arrays per number that they copy. This took half the time of the
// tests on cpu. The kernels of this module copy whole rows; cpu_slice.test.ts compares them with those of tfjs.

type Kernel = NonNullable<ReturnType<typeof tf.getKernel>>;
type Numbers = Float32Array | Int32Array | Uint8Array;

/** The kernels of tfjs that this module replaces. */
export const kernelsOfTfjs = {Slice: tf.getKernel('Slice', 'cpu'), SplitV: tf.getKernel('SplitV', 'cpu')};

/** Part of a tensor of numbers: `begin` and `size` per axis. */
function sliced(x: tf.TensorInfo, begin: number[], size: number[], backend: tf.KernelBackend): tf.TensorInfo {
  const from = backend.readSync(x.dataId) as Numbers;
  const to = tf.util.getTypedArrayFromDType(x.dtype as 'float32', tf.util.sizeFromShape(size));
  const strides = [...tf.util.computeStrides(x.shape), 1];
  // the part of this axis, with all axes after it, is contiguous in both tensors
  let axis = x.shape.length - 1;
  while (axis > 0 && size[axis] === x.shape[axis]) axis--;
  const length = size[axis]! * strides[axis]!;
  for (let row = 0; row * length < to.length; row++) {
    let start = begin[axis]! * strides[axis]!;
    let rest = row;
    for (let outer = axis - 1; outer >= 0; outer--) {
      start += (begin[outer]! + (rest % size[outer]!)) * strides[outer]!;
      rest = Math.floor(rest / size[outer]!);
    }
    to.set(from.subarray(start, start + length), row * length);
  }
  return {dataId: backend.write(to, size, x.dtype), shape: size, dtype: x.dtype};
}

const isNumeric = ({dtype}: tf.TensorInfo) => dtype === 'float32' || dtype === 'int32' || dtype === 'bool';

const slice: Kernel['kernelFunc'] = params => {
  const {inputs, attrs, backend} = params as {
    inputs: {x: tf.Tensor};
    attrs: {begin: number | number[]; size: number | number[]};
    backend: tf.KernelBackend;
  };
  const {x} = inputs;
  const [begin, size] = tf.slice_util.parseSliceParams(x, attrs.begin, attrs.size) as [number[], number[]];
  // tfjs does not copy a contiguous slice
  if (!isNumeric(x) || tf.slice_util.isSliceContinous(x.shape, begin, size))
    return kernelsOfTfjs.Slice.kernelFunc(params);
  tf.slice_util.assertParamsValid(x, begin, size);
  return sliced(x, begin, size, backend);
};

const splitV: Kernel['kernelFunc'] = params => {
  const {inputs, attrs, backend} = params as {
    inputs: {x: tf.Tensor};
    attrs: {numOrSizeSplits: number | number[]; axis: number};
    backend: tf.KernelBackend;
  };
  const {x} = inputs;
  if (!isNumeric(x)) return kernelsOfTfjs.SplitV.kernelFunc(params);
  const axis = tf.util.parseAxisParam(attrs.axis, x.shape)[0]!;
  const begin = x.shape.map(() => 0);
  return tf.backend_util.prepareSplitSize(x, attrs.numOrSizeSplits, axis).map(taken => {
    const size = x.shape.with(axis, taken);
    const part = sliced(x, begin, size, backend);
    begin[axis]! += taken;
    return part;
  });
};

for (const [name, kernelFunc] of Object.entries({Slice: slice, SplitV: splitV})) {
  const kernel = tf.getKernel(name, 'cpu');
  tf.unregisterKernel(name, 'cpu');
  tf.registerKernel({...kernel, kernelFunc});
}
