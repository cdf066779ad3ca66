import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../errors.js';

/**
 * Moves a tensor's numbers to the current backend where they still lie on another one, as tfjs does for the inputs of its own
 * kernels. Whatever writes into a tensor asks for this first: elsewhere it would write into a copy of the numbers.
 *
 * @throws BackendError where the other backend cannot be read without waiting, as a GPU cannot.
 */
export function bringToCurrentBackend({dataId}: tf.TensorInfo): void {
  const engine = tf.engine();
  const current = engine.backend;
  const home = engine.state.tensorInfo.get(dataId)?.backend;
  if (home === undefined || home === current) return;
  try {
    engine.moveData(current, dataId);
  } catch (cause) {
    throw new BackendError(
      `A tensor of this cache lies on another backend than '${engine.backendName}', which cannot be read without waiting: go back ` +
        'to that backend, save() the cache there, and restore() it on this one.',
      {cause},
    );
  }
}
