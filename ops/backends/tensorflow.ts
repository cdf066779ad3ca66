import {BackendError} from '../../base/errors.js';
import {importOptional, runsInNode} from '../../base/optional_package.js';

/** Both register the backend `tensorflow`; the first one that is installed wins. */
const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];

/**
 * Imports tfjs-node-gpu or tfjs-node. Importing either makes it the current backend of the process.
 *
 * @throws BackendError outside Node, if neither is installed, or if its native library does not load.
 */
export async function importTensorflow(): Promise<void> {
  if (!runsInNode()) {
    throw new BackendError(
      "The 'tensorflow' backend needs Node: use 'webgpu', 'webgl' or 'wasm' in a browser.",
    );
  }
  restoreIsNullOrUndefined();
  for (const name of packages) {
    if ((await importOptional(name)) !== undefined) return;
  }
  throw new BackendError(
    "The 'tensorflow' backend needs one of two packages: npm install @tensorflow/tfjs-node@4.22, or " +
      '@tensorflow/tfjs-node-gpu@4.22 for an NVIDIA GPU (docs/backends/tensorflow.md says what to do if its ' +
      "download is blocked). Or use 'wasm'.",
  );
}

/** tfjs-node 4.22 calls `util.isNullOrUndefined`, which is gone from Node 24. */
function restoreIsNullOrUndefined(): void {
  const util: {isNullOrUndefined?: (value: unknown) => boolean} = process.getBuiltinModule('node:util');
  util.isNullOrUndefined ??= value => value === null || value === undefined;
}
