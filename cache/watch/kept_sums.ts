import * as tf from '@tensorflow/tfjs';

/**
 * Sums of tensors that grow step by step, on the backend, under names. They outlive the tidy of a model's run, so they must
 * be disposed of. (Float32: 4,000 sums of like size are right to about 1e-6.)
 */
export class KeptSums {
  private readonly sums = new Map<string, tf.Tensor>();

  /** Adds to the sum of that name; inside a tidy, which frees what was given. */
  add(name: string, term: tf.Tensor): void {
    const before = this.sums.get(name);
    this.sums.set(name, tf.keep(before === undefined ? tf.clone(term) : tf.add(before, term)));
    before?.dispose();
  }

  /** A sum's numbers, row-major; undefined where nothing was added. */
  async read(name: string): Promise<{numbers: Float32Array; shape: number[]} | undefined> {
    const sum = this.sums.get(name);
    return sum && {numbers: await sum.data<'float32'>(), shape: sum.shape};
  }

  dispose(): void {
    for (const sum of this.sums.values()) sum.dispose();
    this.sums.clear();
  }
}
