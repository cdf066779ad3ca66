import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';

// A tensor is stored on the backend that was current when it was made, until a kernel of another one needs it.

/**
 * Moves a tensor's numbers to the current backend if they are still on another one, as tfjs does for the inputs of its own
 * kernels. Code that writes into a tensor must call this first: otherwise it would write into a copy of the numbers.
 *
 * @throws BackendError if they are on a GPU: see `expectMovable`.
 */
export function bringToCurrentBackend(tensor: tf.TensorInfo): void {
  if (!isAway(tensor)) return;
  expectMovable(tensor);
  tf.engine().moveData(tf.engine().backend, tensor.dataId);
}

/**
 * @throws BackendError if a tensor is on webgpu and another backend is current: tfjs moves numbers by reading them synchronously,
 *   which webgpu cannot do (a ReferenceError in Node; in Chromium it may lose the device).
 */
export function expectMovable(tensor: tf.TensorInfo): void {
  if (!isAway(tensor)) return;
  const {backendName, registry} = tf.engine();
  if (registry['webgpu'] === undefined || homeOf(tensor) !== registry['webgpu']) return;
  throw new BackendError(
    `This cache's tensors are on webgpu, which cannot be read synchronously, and the backend is '${backendName}' now: go back with ` +
      "useBackend('webgpu'), save() the cache there, and restore() it on the other backend.",
  );
}

const homeOf = ({dataId}: tf.TensorInfo) => tf.engine().state.tensorInfo.get(dataId)?.backend;

function isAway(tensor: tf.TensorInfo): boolean {
  const home = homeOf(tensor);
  return home !== undefined && home !== tf.engine().backend;
}
