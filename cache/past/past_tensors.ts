import * as tf from '@tensorflow/tfjs';
import {type Past, tensorsOfPast} from './past.js';
import {release, share} from '../sharing/shared_tensors.js';

// Ownership of the tensors of pasts.

/** Keeps the tensors of a past beyond the tidy that made them, and returns the same object. */
export function kept<Result extends {past: Past}>(result: Result): Result & tf.TensorContainerObject {
  for (const tensor of tensorsOfPast(result.past)) tf.keep(tensor);
  return result as Result & tf.TensorContainerObject;
}

/** Adds an owner to every tensor of a past. */
export function sharePast(past: Past): void {
  new Set(tensorsOfPast(past)).forEach(share);
}

/** Removes an owner from every tensor of a past that is not part of `next`; frees tensors without owners. */
export function releasePast(past: Past, next?: Past): void {
  const still = new Set(next === undefined ? [] : tensorsOfPast(next));
  for (const tensor of new Set(tensorsOfPast(past))) if (!still.has(tensor)) release(tensor);
}

/** Runs asynchronous work that reads a past; its tensors stay alive even if the cache changes or is disposed meanwhile. */
export async function stillHeld<Result>(past: Past, work: () => Promise<Result>): Promise<Result> {
  sharePast(past);
  try {
    return await work();
  } finally {
    releasePast(past);
  }
}
