import {isShared} from '../../base/shared_memory.js';
import {importSharedMemory} from './share_memory.js';

/**
 * Our kernels on any memory. They are compiled for unshared memory; if a memory is shared (tfjs' threaded build on
 * cross-origin-isolated pages), the module's import has to declare that.
 *
 * @param binary compiled kernels, which may be changed.
 * @throws if the engine refuses the module or the memory: WebAssembly's CompileError or LinkError, a RangeError if it compiles no
 *   module of this size synchronously, or the error of a page's policy (CSP).
 */
export function linkKernels(
  binary: Uint8Array<ArrayBuffer>,
  memory: WebAssembly.Memory,
): {readonly module: WebAssembly.Module; readonly instance: WebAssembly.Instance} {
  if (isShared(memory.buffer)) importSharedMemory(binary);
  const module = new WebAssembly.Module(binary);
  return {module, instance: new WebAssembly.Instance(module, {env: {memory}})};
}
