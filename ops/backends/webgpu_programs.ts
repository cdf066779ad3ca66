import * as tf from '@tensorflow/tfjs';
import {
  asTfjsWebgpuBackend,
  checkBinding,
  checkBuffer,
  guardDevice,
  sizeOf,
  type TfjsProgram,
  type TfjsWebgpuBackend,
} from './webgpu_device.js';
import {sendFewerCommands} from './webgpu_commands.js';
import {allowDirectives, featuresOf, type WebgpuFeature} from './webgpu_features.js';

/**
 * A compute shader of our own. Inputs and the output `result` are flat arrays of their dtype, whatever their tensors' axes:
 * tfjs' own accessors pass int32 through float32 and are not used. Everything that its text depends on is in
 * `Constants`, which are the key of the compiled pipeline; everything else comes as uniforms, so that one pipeline serves all.
 */
export interface Shader<Constants extends object, Uniform extends string> {
  readonly name: string;
  /** Numbers that change from call to call: `uniforms.<name>` in the text. */
  readonly uniforms: {readonly [Name in Uniform]: 'i32' | 'f32'};
  /** Invocations of a workgroup; every device allows 256. Default: 64. */
  readonly threads?: number;
  /** The inputs that the text reads as `array<vec4>`, with multiples of four elements. Default: none. */
  vectors?(constants: Constants): readonly string[];
  /**
   * WGSL that defines `fn main(index : i32)`, one invocation per element (`uniforms.size` of them), or, if work is given as
   * workgroups, `fn main()` with `workgroupId` and `localIndex`. Directives (`enable subgroups;`) have lines of their own.
   */
  code(constants: Constants): string;
}

/** What one run of a shader works on. */
export interface ShaderRun<Constants extends object, Uniform extends string> {
  readonly constants: Constants;
  /** By their names in the shader; undefined ones are not bound. */
  readonly inputs: Readonly<Record<string, tf.TensorInfo | undefined>>;
  readonly uniforms: {readonly [Name in Uniform]: number};
  /** How many elements, or how many workgroups along x, y and z. */
  readonly work: number | readonly [number, number, number];
}

/** Shaders of our own, run by tfjs-backend-webgpu: with webgpu_device.ts the only file that knows its internals. */
interface WebgpuPrograms {
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
  /** A tensor whose values are not set. */
  make(shape: readonly number[], dtype: 'float32' | 'int32'): tf.TensorInfo;
  /**
   * Elements of a tensor from `from` on, as a tensor of their own, without a copy: for inputs and in-place outputs of shaders
   * that must not bind all of it. To be released by `dropView`.
   *
   * @param from a multiple of `viewAlignment`.
   * @throws InvalidArgumentError if the tensor is larger than a buffer of the device can be.
   */
  view(tensor: tf.TensorInfo, from: number, shape: readonly number[]): tf.TensorInfo;
  dropView(view: tf.TensorInfo): void;
  /** Moves a tensor's numbers to the GPU now, instead of when a program first reads them; none stay on the host. */
  upload(tensor: tf.TensorInfo): void;
  /** How many bytes of a tensor a shader can bind. */
  readonly mostBytes: number;
  /** What the device was asked for, and has. */
  readonly features: readonly WebgpuFeature[];
  /** Frees a tensor that `run` or `make` made and that is not known outside the kernel. */
  dispose(tensor: tf.TensorInfo): void;
}

/** Declares uniforms of i32. */
export function integers<Name extends string>(...names: readonly Name[]): {readonly [Key in Name]: 'i32'} {
  return Object.fromEntries(names.map(name => [name, 'i32'])) as {[Key in Name]: 'i32'};
}

/** Offsets of bindings are multiples of this many elements (256 bytes) on every device. */
export const viewAlignment = 64;

/** Invocations of a workgroup; every device allows this many. */
export const workgroupSize = 64;

const known = new WeakMap<object, WebgpuPrograms>();

/** Runs shaders on the current backend; undefined if that is not webgpu or its internals are not the known ones. */
export function webgpuPrograms(): WebgpuPrograms | undefined {
  if (tf.getBackend() !== 'webgpu') return undefined;
  const current = tf.backend();
  let programs = known.get(current);
  if (programs === undefined) {
    const backend = asTfjsWebgpuBackend(current);
    if (backend === undefined) return undefined;
    programs = openBackend(backend);
    known.set(current, programs);
  }
  return programs;
}

function openBackend(backend: TfjsWebgpuBackend): WebgpuPrograms {
  guardDevice(backend);
  sendFewerCommands(backend);
  allowDirectives(backend.device);
  const fillers = new Map<string, tf.TensorInfo>();
  /** What is bound for an input without numbers, since a binding is never empty. */
  const fillerOf = (dtype: string): tf.TensorInfo => {
    const made = fillers.get(dtype) ?? backend.makeTensorInfo([4], dtype);
    fillers.set(dtype, made);
    return made;
  };
  const runInto = <Constants extends object, Uniform extends string>(
    shader: Shader<Constants, Uniform>,
    run: ShaderRun<Constants, Uniform>,
    output: tf.TensorInfo,
  ) => {
    const present = Object.entries(run.inputs).flatMap(([name, tensor]) => (tensor ? [{name, tensor}] : []));
    for (const {shape} of [...present.map(({tensor}) => tensor), output]) checkBinding(backend, shape);
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
    const inputs = present.map(({tensor}) =>
      array(sizeOf(tensor.shape) === 0 ? fillerOf(tensor.dtype) : tensor),
    );
    backend.runWebGPUProgram(program, inputs, output.dtype, uniforms, array(output));
  };
  return {
    run: (shader, run, shape, dtype = 'float32') => {
      checkBinding(backend, shape); // before the output exists
      const output = backend.makeTensorInfo(shape, dtype);
      runInto(shader, run, output);
      return output;
    },
    runInPlace: (shader, run, output) => {
      runInto(shader, run, output);
      // a read leaves a copy on the CPU that later reads return without looking at the GPU: it is stale now
      backend.tensorMap.get(output.dataId)!.values = null;
    },
    make: (shape, dtype) => backend.makeTensorInfo(shape, dtype),
    view: ({dataId, dtype, shape: whole}, from, shape) => {
      checkBuffer(backend, whole);
      backend.uploadToGPU(dataId);
      const data = backend.tensorMap.get(dataId)!;
      data.values = null; // as in runInPlace, for what is written through the view
      const id = {};
      const resource = {buffer: data.resource, offset: 4 * from, size: 4 * sizeOf(shape)};
      backend.tensorMap.set(id, {...data, shape, resource, refCount: 1});
      return {dataId: id, dtype, shape: [...shape]};
    },
    upload: ({dataId}) => {
      backend.uploadToGPU(dataId);
    },
    dropView: view => void backend.tensorMap.delete(view.dataId),
    get mostBytes() {
      return backend.device.limits.maxStorageBufferBindingSize;
    },
    features: featuresOf(backend.device),
    dispose: tensor => backend.disposeData(tensor.dataId),
  };
}

function programOf<Constants extends object, Uniform extends string>(
  shader: Shader<Constants, Uniform>,
  {constants, work}: ShaderRun<Constants, Uniform>,
  variableNames: string[],
): TfjsProgram {
  const vectors = shader.vectors?.(constants) ?? [];
  const threads = shader.threads ?? workgroupSize;
  const declared = Object.entries<string>(shader.uniforms).map(([name, type]) => `${name} : ${type}, `);
  return {
    shaderKey: `eigenkv${shader.name}${JSON.stringify(constants)}`,
    variableNames,
    variableComponents: variableNames.map(name => (vectors.includes(name) ? 4 : 1)),
    outputShape: typeof work === 'number' ? [work] : [...work],
    workgroupSize: [threads, 1, 1],
    dispatchLayout: typeof work === 'number' ? {x: [0]} : {x: [0], y: [1], z: [2]},
    dispatch: typeof work === 'number' ? [Math.ceil(work / threads), 1, 1] : [...work],
    size: true,
    uniforms: declared.join(''),
    getUserCode: () => shader.code(constants),
  };
}

/**
 * The same buffer as an array of no particular length. tfjs uses shapes for accessors that our shaders do not call, and compiles a
 * program for each pattern of equal and broadcast axes.
 */
const array = ({dataId, dtype, shape}: tf.TensorInfo): tf.TensorInfo => ({
  dataId,
  dtype,
  shape: [sizeOf(shape) === 0 ? 0 : 1],
});
