import * as tf from '@tensorflow/tfjs';

/**
 * Named running sums of tensors, kept on the backend. They outlive the tidy of a forward pass, so they must be disposed. Precision is
 * that of float32: the sum of 4,000 terms of similar size has a relative error of about 1e-6.
 */
export class KeptSums {
  private readonly sums = new Map<string, tf.Tensor>();

  /** Adds a term to the sum of that name. Inside a tidy, which frees the term. */
  add(name: string, term: tf.Tensor): void {
    const before = this.sums.get(name);
    this.sums.set(name, tf.keep(before === undefined ? tf.clone(term) : tf.add(before, term)));
    before?.dispose();
  }

  /** Reads a sum's shape and numbers, row-major; undefined if nothing was added. */
  async read(name: string): Promise<{numbers: Float32Array; shape: number[]} | undefined> {
    const sum = this.sums.get(name);
    return sum && {numbers: await sum.data<'float32'>(), shape: sum.shape};
  }

  dispose(): void {
    for (const sum of this.sums.values()) sum.dispose();
    this.sums.clear();
  }
}
