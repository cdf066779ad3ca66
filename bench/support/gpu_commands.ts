import * as tf from '@tensorflow/tfjs';
import {asTfjsWebgpuBackend} from '../../ops/backends/webgpu_device.js';

/** What a piece of work asked of the GPU. */
export interface GpuCommands {
  /** Shaders that were run. */
  dispatches: number;
  /** Compute passes that were begun. */
  passes: number;
  /** Calls of `queue.submit`. */
  submits: number;
  /** Calls of `queue.writeBuffer`: uniforms. */
  writes: number;
  /** Copies from buffer to buffer: uploads and reads. */
  copies: number;
  /** Bind groups that were made. */
  bindGroups: number;
  /** How often each shader was run, by its name and constants. */
  readonly shaders: Map<string, number>;
}

/** Counts the commands of `work` on the current webgpu backend. */
export async function countCommands(work: () => Promise<void>): Promise<GpuCommands> {
  const backend = asTfjsWebgpuBackend(tf.backend())!;
  const {device} = backend;
  const counts: GpuCommands = {
    ...{dispatches: 0, passes: 0, submits: 0, writes: 0, copies: 0, bindGroups: 0},
    shaders: new Map<string, number>(),
  };
  const undo: (() => void)[] = [];
  const watch = <Owner extends object>(
    owner: Owner,
    name: keyof Owner & string,
    seen: (result: unknown, first: unknown) => void,
  ) => {
    const original = owner[name] as (...args: unknown[]) => unknown;
    const watched = (...args: unknown[]): unknown => {
      const result = original.apply(owner, args);
      seen(result, args[0]);
      return result;
    };
    const own = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, {value: watched, configurable: true, writable: true});
    undo.push(() => {
      if (own === undefined) Reflect.deleteProperty(owner, name);
      else Object.defineProperty(owner, name, own);
    });
  };
  watch(device.queue, 'submit', () => (counts.submits += 1));
  watch(device.queue, 'writeBuffer', () => (counts.writes += 1));
  watch(device, 'createBindGroup', () => (counts.bindGroups += 1));
  watch(device, 'createCommandEncoder', encoder => {
    const commands = encoder as GPUCommandEncoder;
    watch(commands, 'copyBufferToBuffer', () => (counts.copies += 1));
    watch(commands, 'beginComputePass', pass => {
      counts.passes += 1;
      watch(pass as GPUComputePassEncoder, 'dispatchWorkgroups', () => (counts.dispatches += 1));
    });
  });
  watch(backend, 'runWebGPUProgram', (_, program) => {
    const {shaderKey, constructor} = program as {shaderKey: string; constructor: {name: string}};
    const ours = /^eigenkv(\w+?)(?=[{])/.exec(shaderKey)?.[1];
    const name = ours ?? `tfjs ${constructor.name} ${shaderKey.split(/[_,]/, 1)[0]!}`;
    counts.shaders.set(name, (counts.shaders.get(name) ?? 0) + 1);
  });
  try {
    await work();
  } finally {
    for (const back of undo.reverse()) back();
  }
  return counts;
}
