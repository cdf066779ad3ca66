import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from './backends/wasm_heap.js';
import {webgpuPrograms} from './backends/webgpu_programs.js';

/** A fused kernel of one backend: the tensors' raw handles in, one handle out (tfjs' own contract for kernels). */
export type KernelFunction<Inputs, Attributes> = (
  inputs: {[Name in keyof Inputs]: tf.TensorInfo},
  attributes: Attributes,
) => tf.TensorInfo;

/**
 * One operation on tensors: a plain reference that runs on every backend, and the fused kernels that some backends
 * have instead. The test of each op compares every kernel with its reference.
 */
export interface Op<Inputs extends Record<string, tf.Tensor | undefined>, Attributes extends object> {
  readonly name: string;
  readonly reference: (inputs: Inputs, attributes: Attributes) => tf.Tensor;
  readonly kernels: {
    readonly wasm?: KernelFunction<Inputs, Attributes>;
    readonly webgpu?: KernelFunction<Inputs, Attributes>;
  };
}

/** Declares an op and registers its kernels with tfjs under `Eigenkv<name>`. */
export function defineOp<Inputs extends Record<string, tf.Tensor | undefined>, Attributes extends object>(
  op: Op<Inputs, Attributes>,
): Op<Inputs, Attributes> {
  for (const [backendName, kernel] of Object.entries(op.kernels)) {
    tf.registerKernel({
      kernelName: kernelName(op.name),
      backendName,
      // tfjs hands inputs and attributes on as loose maps; the op's own types are the truth.
      kernelFunc: ({inputs, attrs}) =>
        kernel(inputs as unknown as {[Name in keyof Inputs]: tf.TensorInfo}, attrs as unknown as Attributes),
    });
  }
  return op;
}

/** Runs an op: the current backend's kernel where it has one, else the reference. The only dispatch there is. */
export function runOp<Inputs extends Record<string, tf.Tensor | undefined>, Attributes extends object>(
  op: Op<Inputs, Attributes>,
  inputs: Inputs,
  attributes: Attributes,
): tf.Tensor {
  if (!hasKernel(op.name)) return tf.tidy(() => op.reference(inputs, attributes));
  const present: tf.NamedTensorMap = {};
  for (const name in inputs) {
    const tensor = inputs[name];
    if (tensor !== undefined) present[name] = tensor;
  }
  return tf.engine().runKernel<tf.Tensor>(kernelName(op.name), present, attributes as tf.NamedAttrMap);
}

/** Whether the current backend runs this op by a fused kernel. */
export function hasKernel(name: string): boolean {
  const backend = tf.getBackend();
  const kernel: unknown = tf.getKernel(kernelName(name), backend); // tfjs' type leaves undefined out
  if (kernel === undefined) return false;
  if (backend === 'webgpu') return webgpuPrograms() !== undefined;
  return backend !== 'wasm' || wasmHeap() !== undefined;
}

const kernelName = (name: string) => `Eigenkv${name}`;
