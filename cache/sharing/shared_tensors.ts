import type * as tf from '@tensorflow/tfjs';

// Reference counts of tensors with several owners: a fork shares all tensors with its origin until one of both changes.

/** Number of additional owners of each tensor; 0 if absent. */
const additionalOwners = new WeakMap<tf.Tensor, number>();

/** Adds an owner of a tensor. */
export function share(tensor: tf.Tensor): void {
  additionalOwners.set(tensor, (additionalOwners.get(tensor) ?? 0) + 1);
}

/** Removes an owner of a tensor; disposes the tensor with its last owner. */
export function release(tensor: tf.Tensor): void {
  const others = additionalOwners.get(tensor) ?? 0;
  if (others === 0) tensor.dispose();
  else additionalOwners.set(tensor, others - 1);
}
