import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';

// A tensor lies on the backend that was current when it was made, until a kernel of another one needs it.

/**
 * Moves a tensor's numbers to the current backend where they still lie on another one, as tfjs does for the inputs of its own
 * kernels. Whatever writes into a tensor asks for this first: elsewhere it would write into a copy of the numbers.
 *
 * @throws BackendError where they lie on a GPU: see `expectMovable`.
 */
export function bringToCurrentBackend(tensor: tf.TensorInfo): void {
  if (!isAway(tensor)) return;
  expectMovable(tensor);
  tf.engine().moveData(tf.engine().backend, tensor.dataId);
}

/**
 * @throws BackendError where a tensor lies on webgpu and another backend is current: tfjs moves numbers by reading them at once,
 *   which webgpu cannot do (a ReferenceError in Node; in Chromium it may lose the device).
 */
export function expectMovable(tensor: tf.TensorInfo): void {
  if (!isAway(tensor)) return;
  const {backendName, registry} = tf.engine();
  if (registry['webgpu'] === undefined || homeOf(tensor) !== registry['webgpu']) return;
  throw new BackendError(
    `This cache's tensors lie on webgpu, which cannot be read without waiting, and the backend is '${backendName}' now: go back by ` +
      "useBackend('webgpu'), save() the cache there, and restore() it on the other backend.",
  );
}

const homeOf = ({dataId}: tf.TensorInfo) => tf.engine().state.tensorInfo.get(dataId)?.backend;

function isAway(tensor: tf.TensorInfo): boolean {
  const home = homeOf(tensor);
  return home !== undefined && home !== tf.engine().backend;
}
