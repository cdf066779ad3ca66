import * as tf from '@tensorflow/tfjs';
import {tensorflowEager} from './backends/tensorflow_eager.js';
import {wasmHeap} from './backends/wasm_heap.js';
import {webgpuPrograms} from './backends/webgpu_programs.js';

/** The tensors that an op takes, by name. */
export type OpInputs = Record<string, tf.Tensor | undefined>;

/** An op's inputs as kernels get them: handles with the shapes of the tensors. */
export type KernelInputs<Inputs> = {readonly [Name in keyof Inputs]: InfoOf<Inputs[Name]>};
/** A tensor as kernels get it. */
export type InfoOf<T> = T extends tf.Tensor ? tf.TensorInfo & {shape: T['shape']} : T;

/** A fused kernel of one backend: the tensors' raw handles in, one handle out (tfjs' own contract for kernels). */
export type KernelFunction<Inputs, Attributes> = (
  inputs: KernelInputs<Inputs>,
  attributes: Attributes,
) => tf.TensorInfo | tf.TensorInfo[];

/**
 * One operation on tensors: a plain reference that runs on every backend, and the fused kernels that some backends
 * have instead; those of tensorflow register themselves. The test of each op compares every kernel with its reference.
 */
export interface Op<
  Inputs extends OpInputs,
  Attributes extends object,
  Result extends tf.Tensor | tf.Tensor[] = tf.Tensor,
> {
  readonly name: string;
  readonly reference: (inputs: Inputs, attributes: Attributes) => Result;
  readonly kernels: {
    readonly [Backend in 'wasm' | 'webgpu']?: KernelFunction<Inputs, Attributes>;
  };
}

/**
 * An operation that makes no tensor of its own kind: it writes into one, or answers on the host. Its kernels are functions like
 * its reference and are called directly: tfjs' engine would only track a result, which takes longer than these kernels do.
 */
export interface DirectOp<Inputs extends OpInputs, Attributes extends object, Result> {
  readonly name: string;
  readonly reference: (inputs: Inputs, attributes: Attributes) => Result;
  readonly directKernels: {
    readonly [Backend in 'cpu' | 'tensorflow' | 'wasm' | 'webgpu']?: (
      inputs: Inputs,
      attributes: Attributes,
    ) => Result;
  };
}

/** Declares an op and registers its kernels with tfjs under `Eigenkv<name>`. */
export function defineOp<
  Inputs extends OpInputs,
  Attributes extends object,
  Result extends tf.Tensor | tf.Tensor[] = tf.Tensor,
>(op: Op<Inputs, Attributes, Result>): Op<Inputs, Attributes, Result> {
  for (const [backendName, kernel] of Object.entries(op.kernels))
    registerKernel(op.name, backendName, kernel);
  return op;
}

/**
 * Gives an op a kernel of a backend from the kernel's own file. Bundles for browsers leave out all `ops/.../tensorflow.ts` (`browser` in
 * package.json), so ops import these for this call alone, and no name of theirs.
 */
export function registerKernel<Inputs, Attributes extends object>(
  name: string,
  backendName: string,
  kernel: KernelFunction<Inputs, Attributes>,
): void {
  tf.registerKernel({
    kernelName: kernelName(name),
    backendName,
    // tfjs hands inputs and attributes on as loose maps; the op's own types are the truth.
    kernelFunc: ({inputs, attrs}) =>
      kernel(inputs as unknown as KernelInputs<Inputs>, attrs as unknown as Attributes),
  });
}

/** Runs an op: the current backend's kernel if it has one, else the reference. The only dispatch there is. */
export function runOp<
  Inputs extends OpInputs,
  Attributes extends object,
  Result extends tf.Tensor | tf.Tensor[],
>(op: Op<Inputs, Attributes, Result>, inputs: Inputs, attributes: Attributes): Result;
export function runOp<Inputs extends OpInputs, Attributes extends object, Result>(
  op: DirectOp<Inputs, Attributes, Result>,
  inputs: Inputs,
  attributes: Attributes,
): Result;
export function runOp<
  Inputs extends OpInputs,
  Attributes extends object,
  Result extends tf.Tensor | tf.Tensor[],
>(
  op: Op<Inputs, Attributes, Result> | DirectOp<Inputs, Attributes, Result>,
  inputs: Inputs,
  attributes: Attributes,
): Result {
  if ('directKernels' in op) return directKernel(op.directKernels, op.reference)(inputs, attributes);
  const kernel = kernelOf(op.name);
  if (kernel === undefined) return tf.tidy(() => op.reference(inputs, attributes));
  const present: tf.NamedTensorMap = {};
  for (const name in inputs) {
    const tensor = inputs[name];
    if (tensor !== undefined) present[name] = tensor;
  }
  const [engine, attrs] = [tf.engine(), attributes as tf.NamedAttrMap];
  if (isWatched(engine)) return engine.runKernel<Result>(kernelName(op.name), present, attrs);
  const output = kernel.kernelFunc({inputs: present, attrs, backend: engine.backend});
  return (Array.isArray(output) ? output.map(tensorOf) : tensorOf(output)) as Result;
}

/**
 * Whether anybody sees the difference between tfjs' `runKernel` and a kernel called as it calls it: gradients, profiles, debugging, or who put another
 * function in its place. Its own work takes as long as a small kernel.
 */
function isWatched(engine: ReturnType<typeof tf.engine>): boolean {
  const {gradientDepth, profiling} = engine.state;
  if (gradientDepth > 0 || profiling || engine.runKernel !== plainRunKernel) return true;
  return tf.env().getBool('DEBUG') || tf.env().getBool('IS_TEST');
}

/** tfjs' own, which whoever wraps it puts back. */
const {runKernel: plainRunKernel} = Object.getPrototypeOf(tf.engine()) as ReturnType<typeof tf.engine>;

/** Makes what a kernel returned a tensor of the innermost tidy. */
function tensorOf(info: tf.TensorInfo): tf.Tensor {
  return info instanceof tf.Tensor ? (info as tf.Tensor) : tf.engine().makeTensorFromTensorInfo(info);
}

function directKernel<Run>(kernels: {readonly [backend: string]: Run | undefined}, reference: Run): Run {
  const backend = tf.getBackend();
  return (runsOurs(backend) ? kernels[backend] : undefined) ?? reference;
}

/** Whether the current backend runs this op by a fused kernel. */
export function hasKernel(name: string): boolean {
  return kernelOf(name) !== undefined;
}

/** What tfjs' registry has for the current backend. */
function kernelOf(name: string): tf.KernelConfig | undefined {
  const backend = tf.getBackend();
  return runsOurs(backend) ? tf.getKernel(kernelName(name), backend) : undefined; // tfjs' type leaves undefined out
}

/** Whether the internals of the current backend are those that our kernels know. */
function runsOurs(backend: string): boolean {
  switch (backend) {
    case 'wasm':
      return wasmHeap() !== undefined;
    case 'webgpu':
      return webgpuPrograms() !== undefined;
    case 'tensorflow':
      return tensorflowEager() !== undefined;
    default:
      return true;
  }
}

const kernelName = (name: string) => `Eigenkv${name}`;
