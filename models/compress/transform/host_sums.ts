import type * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../../base/errors.js';
import {KeptSums} from '../../../cache/watch/kept_sums.js';
import type {TransformSum} from './statistics.js';

/**
 * Sums of tensors by depth and name: float32 on the backend within one text, float64 on the host over all texts, so that precision does
 * not depend on their number.
 */
export class HostSums {
  private readonly fresh = new KeptSums();
  private readonly seen = new Map<string, {depth: number; name: TransformSum}>();
  private readonly totals = new Map<string, Float64Array>();

  /** Adds a term. Inside a tidy, which frees the term. */
  add(depth: number, name: TransformSum, term: tf.Tensor): void {
    const key = `${depth}/${name}`;
    this.seen.set(key, {depth, name});
    this.fresh.add(key, term);
  }

  /**
   * Adds what was added since the last call to the totals.
   * @throws ModelError if a sum is NaN or infinite.
   */
  async take(): Promise<void> {
    for (const [key, {depth, name}] of this.seen) {
      const found = await this.fresh.read(key);
      if (found === undefined) continue;
      const {numbers} = found;
      if (!numbers.every(Number.isFinite)) {
        throw new ModelError(
          `At depth ${depth}, the sum of ${name} contains NaN or infinity; check the model's weights, and that it runs on this backend.`,
        );
      }
      const total = this.totals.get(key);
      this.totals.set(
        key,
        Float64Array.from(numbers, (number, i) => number + (total?.[i] ?? 0)),
      );
    }
    this.fresh.dispose();
  }

  /** Undefined if nothing was added. */
  total(depth: number, name: TransformSum): Float64Array | undefined {
    return this.totals.get(`${depth}/${name}`);
  }

  dispose(): void {
    this.fresh.dispose();
  }
}
