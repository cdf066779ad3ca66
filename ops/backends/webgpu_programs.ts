import * as tf from '@tensorflow/tfjs';

/**
 * The one file that touches tfjs-backend-webgpu's internals: it runs shaders of our own that write into a tensor that exists.
 */
export interface WebgpuPrograms {
  /**
   * Runs a program whose `result` is `output`'s own buffer, bound read_write: elements that it does not store keep their
   * values. Dtypes must be those that the shader stores; a wrong one is only logged by the driver.
   *
   * @param uniforms the program's own i32 uniforms, in the order of their declaration.
   */
  runInPlace(
    program: WebgpuProgram,
    inputs: tf.TensorInfo[],
    uniforms: readonly number[],
    output: tf.TensorInfo,
  ): void;
}

/** A program as tfjs 4.22 takes it: a plain object. tfjs adds dtypes, ranks and workgroup size to `shaderKey`. */
export interface WebgpuProgram {
  readonly shaderKey: string;
  /** Names of the inputs in the shader, where each is a flat array of its dtype. */
  readonly variableNames: string[];
  /** Of the work, not of the output; one invocation an element. */
  readonly outputShape: number[];
  readonly workgroupSize: [number, number, number];
  readonly dispatchLayout: {readonly x: number[]};
  readonly dispatch: [number, number, number];
  /** Declares `uniforms.size`, the number of elements of outputShape. */
  readonly size: true;
  /** Declarations as in WGSL: `start : i32, rows : i32,`. */
  readonly uniforms: string;
  getUserCode(): string;
}

interface TfjsWebgpuBackend {
  readonly tensorMap: {get(id: object): {values: unknown} | undefined};
  runWebGPUProgram(
    program: WebgpuProgram,
    inputs: tf.TensorInfo[],
    dtype: string,
    uniforms: {type: 'int32'; data: number[]}[],
    output: tf.TensorInfo,
  ): tf.TensorInfo;
}

/** What runs programs on the current backend, or nothing where that is not webgpu or its internals are not what we know. */
export function webgpuPrograms(): WebgpuPrograms | undefined {
  if (tf.getBackend() !== 'webgpu') return undefined;
  const backend: unknown = tf.backend();
  if (!isTfjsWebgpuBackend(backend)) return undefined;
  return {
    runInPlace: (program, inputs, uniforms, output) => {
      const typed = uniforms.map(value => ({type: 'int32' as const, data: [value]}));
      backend.runWebGPUProgram(program, inputs, output.dtype, typed, output);
      // a read leaves a copy on the CPU that later reads return without looking at the GPU: it is stale now
      backend.tensorMap.get(output.dataId)!.values = null;
    },
  };
}

function isTfjsWebgpuBackend(backend: unknown): backend is TfjsWebgpuBackend {
  const candidate = backend as Partial<TfjsWebgpuBackend> | null;
  return typeof candidate?.runWebGPUProgram === 'function' && typeof candidate.tensorMap?.get === 'function';
}
