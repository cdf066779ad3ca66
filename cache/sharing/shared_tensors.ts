import type * as tf from '@tensorflow/tfjs';

// Tensors that several caches hold: a fork shares all of them with the cache that it comes from, until one goes another way.

/** By how many caches more than one a tensor is held: a note on it, which goes when it goes. */
const furtherHolders = new WeakMap<tf.Tensor, number>();

/** One more cache holds this tensor. */
export function share(tensor: tf.Tensor): void {
  furtherHolders.set(tensor, (furtherHolders.get(tensor) ?? 0) + 1);
}

/** A cache holds this tensor no longer; the last one frees it. */
export function release(tensor: tf.Tensor): void {
  const others = furtherHolders.get(tensor) ?? 0;
  if (others === 0) tensor.dispose();
  else furtherHolders.set(tensor, others - 1);
}
