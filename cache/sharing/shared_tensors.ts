import * as tf from '@tensorflow/tfjs';

// Reference counts of tensors with several owners: a fork shares all tensors with its origin until one of both changes. Tensors that
// are lent belong to a model, and to no past.

/** Number of additional owners of each tensor; 0 if absent. */
const additionalOwners = new WeakMap<tf.Tensor, number>();

/** Adds an owner of a tensor. */
export function share(tensor: tf.Tensor): void {
  additionalOwners.set(tensor, (additionalOwners.get(tensor) ?? 0) + 1);
}

/** Removes an owner of a tensor; disposes the tensor with its last owner, unless it is lent. */
export function release(tensor: tf.Tensor): void {
  if (lent.has(tensor)) return;
  const others = additionalOwners.get(tensor) ?? 0;
  if (others === 0) tensor.dispose();
  else additionalOwners.set(tensor, others - 1);
}

const lent = new WeakSet<tf.Tensor>();

/** Makes a tensor outlive every past that holds it, and the tidy that made it; pasts do not count its bytes. Returns it. */
export function lend<T extends tf.Tensor>(tensor: T): T {
  lent.add(tensor);
  return tf.keep(tensor);
}

/** Whether a tensor belongs to a model, and to no past. */
export function isLent(tensor: tf.Tensor): boolean {
  return lent.has(tensor);
}

/** Frees a tensor that was lent. */
export function withdraw(tensor: tf.Tensor): void {
  lent.delete(tensor);
  tensor.dispose();
}
