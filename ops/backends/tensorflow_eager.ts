import * as tf from '@tensorflow/tfjs';
import {type TensorStore, viewMovedTensors} from './tensorflow_moved.js';

// The one file that finds tfjs-node's internals: it runs any of TensorFlow's ops by its name, on tensors of any dtype.

/** TensorFlow's numbers of the dtypes that our kernels use; tfjs itself has only float32, int32 and bool of them. */
const dtypeNumbers = {
  float32: 1,
  float64: 2,
  int32: 3,
  uint8: 4,
  int8: 6,
  bool: 10,
  bfloat16: 14,
  uint16: 17,
  float16: 19,
} as const;

export type Dtype = keyof typeof dtypeNumbers;

export const dtypes = Object.keys(dtypeNumbers) as Dtype[];

/** A tensor of TensorFlow by the number that the binding gave it. */
export interface Handle {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** An op's attributes: the name of a dtype is a type. */
export type OpAttributes = Readonly<Record<string, Dtype | number | boolean>>;

interface TensorflowEager {
  /** Whether ops run on a GPU, as those of tfjs-node-gpu do if there is one. */
  readonly isOnGpu: boolean;
  /**
   * Runs an op; its outputs are the caller's to `free`. TensorFlow takes the dtypes of single inputs from these, not from attributes.
   * @param attributes an object that lives as long as the program: it is translated once.
   * @param outputs how many the op has.
   */
  run(op: string, inputs: readonly Handle[], attributes: OpAttributes, outputs: number): Handle[];
  /** A tensor of numbers of the host, which is the caller's to `free`. */
  upload(numbers: Float32Array | Int32Array | Uint8Array, shape: readonly number[], dtype: Dtype): Handle;
  /** The same for a few numbers that are asked for again and again, such as shapes: they stay until there are too many. */
  constant(numbers: Float32Array | Int32Array | Uint8Array, shape: readonly number[], dtype: Dtype): Handle;
  /** Frees constants if there are too many. To be called while none is in use. */
  forgetConstants(): void;
  free(handle: Handle): void;
  /** A tensor of tfjs, float32, int32 or bool, which stays tfjs' own. */
  handleOf(tensor: tf.TensorInfo): Handle;
  /** Makes a float32 or int32 tensor tfjs' own. */
  tensorOf(handle: Handle): tf.Tensor;
}

interface OutputInfo {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

interface TfjsNodeBackend extends TensorStore {
  readonly isUsingGpuDevice: boolean;
  readonly binding: {
    readonly TF_ATTR_TYPE: number;
    readonly TF_ATTR_INT: number;
    readonly TF_ATTR_BOOL: number;
    executeOp(name: string, attributes: unknown[], inputs: number[], outputs: number): OutputInfo[];
    createTensor(shape: readonly number[], dtype: number, numbers: ArrayBufferView): number;
    deleteTensor(id: number): void;
  };
  createOutputTensor(info: OutputInfo): tf.Tensor;
}

/**
 * Runs TensorFlow's ops; undefined if the current backend is not `tensorflow` or its internals are not the known ones. From the first call on, tfjs-node's
 * own ops, too, see tensors that came from another backend as they are.
 */
export function tensorflowEager(): TensorflowEager | undefined {
  if (tf.getBackend() !== 'tensorflow') return undefined;
  const backend: unknown = tf.backend();
  if (backend !== known?.backend)
    known = isTfjsNodeBackend(backend) ? {backend, eager: eagerOf(backend)} : undefined;
  return known?.eager;
}

let known: {readonly backend: unknown; readonly eager: TensorflowEager} | undefined;

/** A few numbers each. */
const mostConstants = 2000;

function eagerOf(backend: TfjsNodeBackend): TensorflowEager {
  const {TF_ATTR_TYPE, TF_ATTR_INT, TF_ATTR_BOOL} = backend.binding;
  const dtypeOf = new Map<number, Dtype>(dtypes.map(name => [dtypeNumbers[name], name]));
  const attributeOf = ([name, value]: [string, Dtype | number | boolean]) => {
    if (typeof value === 'string') return {name, type: TF_ATTR_TYPE, value: dtypeNumbers[value]};
    return {name, type: typeof value === 'number' ? TF_ATTR_INT : TF_ATTR_BOOL, value};
  };
  const upload: TensorflowEager['upload'] = (numbers, shape, dtype) => ({
    id: backend.binding.createTensor(shape, dtypeNumbers[dtype], numbers),
    ...{shape, dtype},
  });
  const free = ({id}: Handle) => {
    backend.binding.deleteTensor(id);
  };
  const run: TensorflowEager['run'] = (op, inputs, attributes, outputs) => {
    const ids = inputs.map(({id}) => id);
    const known = translated.get(attributes) ?? Object.entries(attributes).map(attributeOf);
    translated.set(attributes, known);
    return backend.binding
      .executeOp(op, known, ids, outputs)
      .map(({id, shape, dtype}) => ({id, shape, dtype: dtypeOf.get(dtype)!}));
  };
  viewMovedTensors(
    backend,
    (id, {shape, dtype}, tensor) => {
      const moved = {id, shape, dtype: dtypeOf.get(dtype)!};
      const target = upload(Int32Array.from(tensor.shape), [tensor.shape.length], 'int32');
      const [cast] = run('Cast', [moved], {DstT: tensor.dtype as Dtype}, 1) as [Handle];
      const [view] = run('Reshape', [cast, target], {}, 1) as [Handle];
      free(target);
      free(cast);
      return view.id;
    },
    id => {
      backend.binding.deleteTensor(id);
    },
  );
  const constants = new Map<string, Handle>();
  const translated = new WeakMap<OpAttributes, unknown[]>();
  return {
    get isOnGpu() {
      return backend.isUsingGpuDevice;
    },
    run,
    upload,
    constant: (numbers, shape, dtype) => {
      const key = `${dtype} ${shape.join()} ${numbers.join()}`;
      const found = constants.get(key) ?? upload(numbers, shape, dtype);
      constants.set(key, found);
      return found;
    },
    forgetConstants: () => {
      if (constants.size < mostConstants) return;
      constants.forEach(free);
      constants.clear();
    },
    free,
    handleOf: tensor => ({
      id: backend.getInputTensorIds([tensor])[0]!,
      ...{shape: tensor.shape, dtype: tensor.dtype as Dtype},
    }),
    tensorOf: ({id, shape, dtype}) =>
      backend.createOutputTensor({id, shape: [...shape], dtype: dtypeNumbers[dtype]}),
  };
}

function isTfjsNodeBackend(backend: unknown): backend is TfjsNodeBackend {
  const candidate = backend as Partial<TfjsNodeBackend> | null;
  return (
    typeof candidate?.getInputTensorIds === 'function' &&
    typeof candidate.createOutputTensor === 'function' &&
    typeof candidate.binding?.executeOp === 'function' &&
    typeof candidate.binding.TF_ATTR_TYPE === 'number'
  );
}
