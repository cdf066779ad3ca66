import * as tf from '@tensorflow/tfjs';
import {type Past, tensorsOfPast} from './past.js';
import {release, share} from '../sharing/shared_tensors.js';

// Who keeps the tensors of a past, and for how long.

/** Keeps the tensors of a past beyond the tidy that made them. */
export function kept<Result extends {past: Past}>(result: Result): Result & tf.TensorContainerObject {
  for (const tensor of tensorsOfPast(result.past)) tf.keep(tensor);
  return result as Result & tf.TensorContainerObject;
}

/** A second cache holds a past. */
export function sharePast(past: Past): void {
  new Set(tensorsOfPast(past)).forEach(share);
}

/** A cache holds a past no longer, but what of it is in the next one. */
export function releasePast(past: Past, next?: Past): void {
  const still = new Set(next === undefined ? [] : tensorsOfPast(next));
  for (const tensor of new Set(tensorsOfPast(past))) if (!still.has(tensor)) release(tensor);
}

/** What is awaited may read a past to its end, though the cache goes on or is disposed meanwhile. */
export async function stillHeld<Result>(past: Past, work: () => Promise<Result>): Promise<Result> {
  sharePast(past);
  try {
    return await work();
  } finally {
    releasePast(past);
  }
}
