import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';
import {runsInNode, throwUnlessMissing} from '../../base/optional_package.js';
import {sharedBuild} from './shared_build.js';
import {type WasmPaths, findWasmFiles, mapOf} from './wasm_files.js';
import {withoutRethrowing} from './wasm_listeners.js';
import {avoidThreadsThatCannotRun, startWithThreads} from './wasm_threads.js';

/**
 * Imports tfjs-backend-wasm and tells it where its .wasm files are. In Node it finds them beside itself.
 *
 * @param paths where they are, if not in the usual places.
 * @param shared whether Node is to have the build whose memory threads can share, if there are no paths and it can be made. (Pages that may
 *   have threads fetch such a build anyway.)
 * @returns the error to throw if the start fails, if a page does not find them in the usual places: tfjs' own `setWasmPaths`
 *   may have named another one.
 * @throws BackendError if the package is not installed, or the files are not where `paths` says.
 */
export async function importWasm(paths?: WasmPaths, shared = false): Promise<BackendError | undefined> {
  const {setWasmPaths, version_wasm: version} = await importPackage();
  if (runsInNode()) {
    const files = paths ?? (shared ? sharedBuild() : undefined);
    if (files !== undefined) setPaths(files);
    return undefined;
  }
  await avoidThreadsThatCannotRun();
  try {
    setPaths(await findWasmFiles(paths, version));
    return undefined;
  } catch (fault) {
    if (paths === undefined && fault instanceof BackendError) return fault;
    throw fault;
  }

  function setPaths(to: WasmPaths): void {
    // tfjs reads files if the path is a folder, and fetches what has a scheme
    const fetches = runsInNode() && Object.values(mapOf(to)).some(url => /^(https?|data|blob):/.test(url));
    try {
      setWasmPaths(to, fetches);
    } catch (cause) {
      throw new BackendError(
        "The 'wasm' backend failed to start before, and tfjs tries no other files after that: load the page anew (in Node, " +
          "start again), with useBackend('wasm', {wasmPaths}) first.",
        {cause},
      );
    }
  }
}

/** Whether tfjs' wasm backend started. */
export function startWasm(): Promise<boolean> {
  const start = () => tf.setBackend('wasm');
  return runsInNode() ? withoutRethrowing(start) : startWithThreads(start);
}

async function importPackage() {
  try {
    return await import('@tensorflow/tfjs-backend-wasm');
  } catch (error) {
    throwUnlessMissing(error, ['@tensorflow/tfjs-backend-wasm']);
    throw new BackendError(
      "The 'wasm' backend needs a package: npm install @tensorflow/tfjs-backend-wasm@4.22. " +
        "Or use the 'cpu' backend, which is much slower.",
      {cause: error},
    );
  }
}
