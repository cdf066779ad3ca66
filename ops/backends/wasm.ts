import {BackendError} from '../errors.js';
import {importOptional} from './optional_package.js';

/**
 * Imports tfjs-backend-wasm. In Node it finds its .wasm files beside itself; in a browser they are fetched from the page's
 * own script folder unless `setWasmPaths` of that package names another one.
 *
 * @throws BackendError where the package is not installed.
 */
export async function importWasm(): Promise<void> {
  const installed = await importOptional(
    '@tensorflow/tfjs-backend-wasm',
    () => import('@tensorflow/tfjs-backend-wasm'),
  );
  if (!installed) {
    throw new BackendError(
      "The 'wasm' backend needs a package: npm install @tensorflow/tfjs-backend-wasm@4.22. " +
        "Or use the 'cpu' backend, which is much slower.",
    );
  }
}
