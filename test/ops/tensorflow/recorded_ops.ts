import * as tf from '@tensorflow/tfjs';

/** A call of one of TensorFlow's ops. */
export interface RecordedOp {
  readonly op: string;
  /** Numbers of dtypes: of the attributes that are dtypes, and of each input and output with its shape. */
  readonly types: Readonly<Record<string, number>>;
  readonly inputs: readonly RecordedTensor[];
  readonly outputs: readonly RecordedTensor[];
}

interface RecordedTensor {
  readonly dtype: number;
  readonly shape: readonly number[];
}

/** What happened on TensorFlow's side: its ops, and the shapes of tensors that were read. */
export interface Recording {
  readonly ops: RecordedOp[];
  readonly reads: (readonly number[])[];
}

interface OutputInfo extends RecordedTensor {
  readonly id: number;
}

interface Binding {
  readonly TF_ATTR_TYPE: number;
  executeOp(
    op: string,
    attributes: readonly {name: string; type: number; value: unknown}[],
    inputs: readonly number[],
    outputs: number,
  ): OutputInfo[];
  createTensor(shape: readonly number[], dtype: number, numbers: ArrayBufferView): number;
  tensorDataSync(id: number): unknown;
  deleteTensor(id: number): void;
}

/** Runs `run` on the backend tensorflow, which is current, as if it had a GPU, and records every call of its binding. */
export function recordOps(run: (recording: Recording) => void): Recording {
  const backend = tf.backend() as unknown as {binding: Binding; isUsingGpuDevice: boolean};
  const {binding, isUsingGpuDevice} = backend;
  const tensors = new Map<number, RecordedTensor>();
  // tensors that are older than the recording are asked for what they are
  const tensorOf = (id: number): RecordedTensor => {
    const known = tensors.get(id);
    if (known !== undefined) return known;
    const [same] = binding.executeOp('Identity', [], [id], 1) as [OutputInfo];
    binding.deleteTensor(same.id);
    tensors.set(id, same);
    return same;
  };
  const recording: Recording = {ops: [], reads: []};
  const wrapped: Partial<Binding> = {
    executeOp: (op, attributes, ids, count) => {
      const own = ids.map(tensorOf);
      const outputs = binding.executeOp(op, attributes, ids, count);
      for (const {id, dtype, shape} of outputs) tensors.set(id, {dtype, shape});
      const types = attributes.filter(({type}) => type === binding.TF_ATTR_TYPE);
      recording.ops.push({
        op,
        types: Object.fromEntries(types.map(({name, value}) => [name, value as number])),
        inputs: own,
        outputs,
      });
      return outputs;
    },
    createTensor: (shape, dtype, numbers) => {
      const id = binding.createTensor(shape, dtype, numbers);
      tensors.set(id, {dtype, shape});
      return id;
    },
    tensorDataSync: id => {
      recording.reads.push(tensorOf(id).shape);
      return binding.tensorDataSync(id);
    },
  };
  const functions = Object.entries(wrapped).map(([name, value]) => [name, {value}] as const);
  backend.binding = Object.create(binding, Object.fromEntries(functions)) as Binding;
  backend.isUsingGpuDevice = true;
  try {
    run(recording);
  } finally {
    Object.assign(backend, {binding, isUsingGpuDevice});
  }
  return recording;
}
