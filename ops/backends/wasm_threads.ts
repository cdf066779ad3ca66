import * as tf from '@tensorflow/tfjs';

// tfjs' threaded build, which it takes on cross-origin-isolated pages. Its threads are workers made of Blobs; if one does not run,
// tfjs waits for it forever.

/** Selects the single-threaded build if a page's policy (CSP without `worker-src blob:`) allows no workers made of Blobs. */
export async function avoidThreadsThatCannotRun(): Promise<void> {
  const flag = 'WASM_HAS_MULTITHREAD_SUPPORT';
  if ((await tf.env().getAsync(flag)) && !(await workersRun())) tf.env().set(flag, false);
}

async function workersRun(): Promise<boolean> {
  const url = URL.createObjectURL(new Blob(['postMessage(0)'], {type: 'text/javascript'}));
  let worker: Worker | undefined;
  try {
    const asked = (worker = new Worker(url));
    return await new Promise<boolean>(resolve => {
      asked.onmessage = () => resolve(true);
      asked.onerror = () => resolve(false);
    });
  } catch {
    return false;
  } finally {
    worker?.terminate();
    URL.revokeObjectURL(url);
  }
}

/**
 * Starts tfjs' wasm backend with threads that also start from a minified bundle. Their script is the text of a function of tfjs
 * that tests for a variable outside it by `typeof`. Minifiers see that the variable exists and drop the `typeof`, so that the
 * text throws a ReferenceError outside its module. Therefore unknown names are undefined in that script.
 */
export async function startWithThreads(start: () => Promise<boolean>): Promise<boolean> {
  const {Blob} = globalThis;
  globalThis.Blob = class extends Blob {
    constructor(parts: BlobPart[] = [], options?: BlobPropertyBag) {
      super(parts.map(forgiving), options);
    }
  };
  try {
    return await start();
  } finally {
    globalThis.Blob = Blob;
  }
}

/** How the script of tfjs' threads begins. */
const threadScript = 'var WasmBackendModuleThreadedSimd = ';

function forgiving(part: BlobPart): BlobPart {
  if (typeof part !== 'string' || !part.startsWith(threadScript)) return part;
  return `with (new Proxy({}, {has: (_, name) => !(name in self), get: () => undefined})) {\n${part}\n}`;
}
