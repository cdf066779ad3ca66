import * as tf from '@tensorflow/tfjs';
import {sizeOf, type TfjsWebgpuBackend} from './webgpu_device.js';

// tfjs submits after every 15 shaders and writes a buffer of uniforms for each of them. A token of decoding is a hundred and more small
// shaders whose uniforms hardly change.

const tfjsBatch = 15;
/** Shaders that are submitted at once. */
const batch = 128;
/** Bytes of new tensors after which commands are submitted earlier: what is freed can be used again from then on. */
const batchBytes = 2 ** 26;
/** Uniform buffers that are kept, of some hundred bytes each. */
const mostUniforms = 1024;

/** From now on this backend, for tfjs' own shaders as well, submits larger batches and writes equal uniforms once. */
export function sendFewerCommands(backend: TfjsWebgpuBackend): void {
  submitLargerBatches(backend);
  keepUniforms(backend);
}

function submitLargerBatches(backend: TfjsWebgpuBackend): void {
  const flag = 'WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE';
  if (tf.env().getNumber(flag) === tfjsBatch) tf.env().set(flag, batch); // whoever set another number keeps it
  let newBytes = 0;
  const make = backend.makeTensorInfo.bind(backend);
  const run = backend.runWebGPUProgram.bind(backend);
  const submit = backend.submitQueue.bind(backend);
  backend.makeTensorInfo = (shape, dtype, values) => {
    newBytes += 4 * sizeOf(shape);
    return make(shape, dtype, values);
  };
  backend.submitQueue = () => {
    newBytes = 0;
    submit();
  };
  backend.runWebGPUProgram = (program, inputs, dtype, uniforms, output) => {
    const result = run(program, inputs, dtype, uniforms, output);
    if (newBytes >= batchBytes && backend.commandEncoder !== null) {
      backend.endComputePassEncoder();
      backend.submitQueue();
    }
    return result;
  };
}

/** Buffers of uniforms by what they hold. Those that are dropped are freed by the garbage collector, since commands may still read them. */
function keepUniforms(backend: TfjsWebgpuBackend): void {
  const kept = new Map<string, ReturnType<TfjsWebgpuBackend['makeUniforms']>>();
  const make = backend.makeUniforms.bind(backend);
  backend.makeUniforms = uniforms => {
    const key = uniforms.map(({type, data}) => `${type}${data.join()}`).join(';');
    const known = kept.get(key);
    if (known !== undefined) return known;
    const made = make(uniforms);
    // not given back with the batch
    const pending = backend.uniformPendingDisposal;
    if (pending.at(-1) !== made.buffer) return made;
    pending.pop();
    if (kept.size >= mostUniforms) kept.delete(kept.keys().next().value!);
    kept.set(key, made);
    return made;
  };
}
