import * as tf from '@tensorflow/tfjs';
import {BackendError, InvalidArgumentError} from '../errors.js';

/**
 * A compute shader of our own. Inputs, and the output `result`, are flat arrays of their dtype, whatever their tensors' axes:
 * tfjs' own accessors pass int32 through float32 and are left alone. Everything that its text depends on stands in
 * `Constants`, which are the key of the compiled pipeline; everything else comes as uniforms, so that one pipeline serves all.
 */
export interface Shader<Constants extends object, Uniform extends string> {
  readonly name: string;
  /** Numbers that change from call to call: `uniforms.<name>` in the text. */
  readonly uniforms: {readonly [Name in Uniform]: 'i32' | 'f32'};
  /**
   * WGSL that defines `fn main(index : i32)`, one invocation an element (`uniforms.size` of them), or, where work is given as
   * workgroups, `fn main()` with `workgroupId` and `localIndex`.
   */
  code(constants: Constants): string;
}

/** What one run of a shader works on. */
export interface ShaderRun<Constants extends object, Uniform extends string> {
  readonly constants: Constants;
  /** By their names in the shader; those that are undefined are not there for it. */
  readonly inputs: Readonly<Record<string, tf.TensorInfo | undefined>>;
  readonly uniforms: {readonly [Name in Uniform]: number};
  /** How many elements, or how many workgroups along x, y and z. */
  readonly work: number | readonly [number, number, number];
}

/** The one file that touches tfjs-backend-webgpu's internals: it runs shaders of our own. */
export interface WebgpuPrograms {
  /** Runs a shader whose `result` is a new tensor. */
  run<Constants extends object, Uniform extends string>(
    shader: Shader<Constants, Uniform>,
    run: ShaderRun<Constants, Uniform>,
    shape: readonly number[],
    dtype?: 'float32' | 'int32',
  ): tf.TensorInfo;
  /**
   * Runs a shader whose `result` is `output`'s own buffer, bound read_write: elements that it does not store keep their
   * values. Dtypes must be those that the shader stores; a wrong one is only logged by the driver.
   */
  runInPlace<Constants extends object, Uniform extends string>(
    shader: Shader<Constants, Uniform>,
    run: ShaderRun<Constants, Uniform>,
    output: tf.TensorInfo,
  ): void;
  /** Gives back the memory of a tensor that `run` made and that no one outside the kernel has seen. */
  dispose(tensor: tf.TensorInfo): void;
}

/** Declares uniforms of i32. */
export function integers<Name extends string>(...names: readonly Name[]): {readonly [Key in Name]: 'i32'} {
  return Object.fromEntries(names.map(name => [name, 'i32'])) as {[Key in Name]: 'i32'};
}

/** Invocations of a workgroup; every device has so many. */
export const workgroupSize = 64;

/** A program as tfjs 4.22 takes it: a plain object. tfjs adds dtypes, ranks and workgroup size to `shaderKey`. */
interface TfjsProgram {
  readonly shaderKey: string;
  readonly variableNames: string[];
  /** Of the work, not of the output. */
  readonly outputShape: number[];
  readonly workgroupSize: [number, number, number];
  readonly dispatchLayout: {readonly x: number[]; readonly y?: number[]; readonly z?: number[]};
  readonly dispatch: number[];
  /** Declares `uniforms.size`, the number of elements of outputShape. */
  readonly size: true;
  readonly uniforms: string;
  getUserCode(): string;
}

interface TfjsWebgpuBackend {
  readonly device: GPUDevice;
  readonly tensorMap: {get(id: object): {values: unknown} | undefined};
  makeTensorInfo(shape: readonly number[], dtype: string): tf.TensorInfo;
  disposeData(id: object): void;
  runWebGPUProgram(
    program: TfjsProgram,
    inputs: tf.TensorInfo[],
    dtype: string,
    uniforms: {type: 'int32' | 'float32'; data: number[]}[],
    output: tf.TensorInfo,
  ): tf.TensorInfo;
}

const known = new WeakMap<object, WebgpuPrograms>();

/** What runs shaders on the current backend, or nothing where that is not webgpu or its internals are not what we know. */
export function webgpuPrograms(): WebgpuPrograms | undefined {
  if (tf.getBackend() !== 'webgpu') return undefined;
  const backend: unknown = tf.backend();
  if (!isTfjsWebgpuBackend(backend)) return undefined;
  let programs = known.get(backend);
  if (programs === undefined) {
    programs = openBackend(backend);
    known.set(backend, programs);
  }
  return programs;
}

function openBackend(backend: TfjsWebgpuBackend): WebgpuPrograms {
  let lost: string | undefined;
  void backend.device.lost.then(({reason, message}) => {
    lost = `${reason}: ${message}`;
  });
  const runInto = <Constants extends object, Uniform extends string>(
    shader: Shader<Constants, Uniform>,
    run: ShaderRun<Constants, Uniform>,
    output: tf.TensorInfo,
  ) => {
    if (lost !== undefined) {
      throw new BackendError(
        `The GPU device was lost (${lost}) and its tensors with it: load the page or start the process again, restore ` +
          'the cache from its snapshot, or use the wasm backend.',
      );
    }
    const present = Object.entries(run.inputs).flatMap(([name, tensor]) => (tensor ? [{name, tensor}] : []));
    for (const {shape} of [...present.map(({tensor}) => tensor), output]) checkBinding(backend.device, shape);
    const program = programOf(
      shader,
      run,
      present.map(({name}) => name),
    );
    const values: Readonly<Record<string, number>> = run.uniforms;
    const uniforms = Object.entries<'i32' | 'f32'>(shader.uniforms).map(([name, type]) => ({
      type: type === 'i32' ? ('int32' as const) : ('float32' as const),
      data: [values[name]!],
    }));
    const inputs = present.map(({tensor}) => flat(tensor));
    backend.runWebGPUProgram(program, inputs, output.dtype, uniforms, flat(output));
  };
  return {
    run: (shader, run, shape, dtype = 'float32') => {
      const output = backend.makeTensorInfo(shape, dtype);
      runInto(shader, run, output);
      return output;
    },
    runInPlace: (shader, run, output) => {
      runInto(shader, run, output);
      // a read leaves a copy on the CPU that later reads return without looking at the GPU: it is stale now
      backend.tensorMap.get(output.dataId)!.values = null;
    },
    dispose: tensor => backend.disposeData(tensor.dataId),
  };
}

function programOf<Constants extends object, Uniform extends string>(
  shader: Shader<Constants, Uniform>,
  {constants, work}: ShaderRun<Constants, Uniform>,
  variableNames: string[],
): TfjsProgram {
  const declared = Object.entries<string>(shader.uniforms).map(([name, type]) => `${name} : ${type}, `);
  return {
    shaderKey: `eigenkv${shader.name}${JSON.stringify(constants)}`,
    variableNames,
    outputShape: typeof work === 'number' ? [work] : [...work],
    workgroupSize: [workgroupSize, 1, 1],
    dispatchLayout: typeof work === 'number' ? {x: [0]} : {x: [0], y: [1], z: [2]},
    dispatch: typeof work === 'number' ? [Math.ceil(work / workgroupSize), 1, 1] : [...work],
    size: true,
    uniforms: declared.join(''),
    getUserCode: () => shader.code(constants),
  };
}

/** The same buffer as an array without axes: tfjs would compile anew for each pattern of equal and broadcast axes. */
const flat = ({dataId, dtype, shape}: tf.TensorInfo): tf.TensorInfo => ({
  dataId,
  dtype,
  shape: [sizeOf(shape)],
});

const sizeOf = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

function checkBinding({limits}: GPUDevice, shape: readonly number[]): void {
  const [bytes, most] = [4 * sizeOf(shape), limits.maxStorageBufferBindingSize];
  if (bytes <= most) return;
  const mebibytes = (x: number) => `${Math.ceil(x / 2 ** 20)} MiB`;
  throw new InvalidArgumentError(
    `A tensor of shape [${shape.join(', ')}] takes ${mebibytes(bytes)}, and this GPU's driver binds at most ${mebibytes(most)} at ` +
      'once: split it by heads or tokens, keep fewer tokens, or store them in a smaller codec.',
  );
}

function isTfjsWebgpuBackend(backend: unknown): backend is TfjsWebgpuBackend {
  const candidate = backend as Partial<TfjsWebgpuBackend> | null;
  return (
    typeof candidate?.runWebGPUProgram === 'function' &&
    typeof candidate.tensorMap?.get === 'function' &&
    typeof candidate.makeTensorInfo === 'function' &&
    typeof candidate.disposeData === 'function' &&
    typeof candidate.device?.lost.then === 'function'
  );
}
