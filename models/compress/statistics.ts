import * as tf from '@tensorflow/tfjs';
import {FeatureGrams, type GramSide} from '../../cache/watch/feature_grams.js';
import {KeptSums} from '../../cache/watch/kept_sums.js';
import type {SeenTokens, Watcher} from '../../cache/watch/watched_cache.js';
import {ModelError} from '../../base/errors.js';
import {rotate} from '../../ops/rotate/index.js';

export const gramSides = ['queries', 'keys', 'values', 'rotatedQueries', 'rotatedKeys'] as const;
/** Sides with a mean to subtract: their features are summed as well. The same sides have gradients. */
export const sumSides = ['keys', 'values', 'rotatedKeys'] as const;
export type SumSide = (typeof sumSides)[number];

/** The features of one depth, summed over all tokens seen: float64, row-major. Rotated sides only if the model rotates. */
export interface DepthStatistics {
  readonly kvHeads: number;
  readonly dim: number;
  /** Gram matrices `[kvHeads, dim, dim]`; queries are summed over the heads of their group. */
  readonly grams: Readonly<Partial<Record<GramSide, Float64Array>>>;
  /** `[kvHeads, dim]` */
  readonly sums: Readonly<Partial<Record<SumSide, Float64Array>>>;
}

/**
 * Sums the features of a model's attention. The sums of one text are float32 on the backend; `take` adds them up in float64 on the
 * host, so that precision does not depend on the number of texts.
 */
export class StatisticsWatcher implements Watcher {
  private grams: FeatureGrams;
  private sums = new KeptSums();
  private readonly totals: DepthStatistics[] = [];
  /** Tokens in the totals. */
  tokens = 0;

  constructor(private readonly sides: readonly GramSide[] = gramSides) {
    this.grams = new FeatureGrams({sides});
  }

  see(depth: number, fresh: SeenTokens): void {
    this.grams.see(depth, fresh);
    const {keys, values, rotation} = fresh;
    const add = (side: SumSide, x: tf.Tensor4D) => this.sums.add(`${depth}/${side}`, tf.sum(x, [0, 2]));
    add('keys', keys);
    add('values', values);
    if (rotation) add('rotatedKeys', rotate(keys, rotation));
  }

  /**
   * Adds what was seen since the last call to the totals.
   * @throws ModelError if a feature is NaN or infinite.
   */
  async take(): Promise<void> {
    for (let depth = 0; depth < this.grams.depths; depth++) {
      this.totals[depth] = added(this.totals[depth], await this.readDepth(depth));
    }
    this.tokens += this.grams.tokens;
    this.dispose();
  }

  /** By depth. */
  get statistics(): readonly DepthStatistics[] {
    return this.totals;
  }

  dispose(): void {
    this.grams.dispose();
    this.sums.dispose();
    this.grams = new FeatureGrams({sides: this.sides});
    this.sums = new KeptSums();
  }

  private async readDepth(depth: number): Promise<DepthStatistics> {
    const grams: Partial<Record<GramSide, Float64Array>> = {};
    const sums: Partial<Record<SumSide, Float64Array>> = {};
    let kvHeads = 0;
    for (const side of gramSides) {
      const heads = await this.grams.read(depth, side);
      if (heads === undefined) continue;
      kvHeads = heads.length;
      grams[side] = checked(Float64Array.from(heads.flatMap(head => [...head])), depth, side);
    }
    for (const side of sumSides) {
      const sum = await this.sums.read(`${depth}/${side}`);
      if (sum !== undefined) sums[side] = checked(Float64Array.from(sum.numbers), depth, side);
    }
    const dim = Math.sqrt((grams.keys?.length ?? 0) / kvHeads);
    return {kvHeads, dim, grams, sums};
  }
}

function checked(numbers: Float64Array, depth: number, side: string): Float64Array {
  if (numbers.every(Number.isFinite)) return numbers;
  throw new ModelError(
    `At depth ${depth}, ${side} contain NaN or infinity; check the model's weights, and that it runs on this backend.`,
  );
}

/** The statistics of two sets of tokens together. */
export function added(a: DepthStatistics | undefined, b: DepthStatistics): DepthStatistics {
  if (a === undefined) return b;
  const sum = <Side extends string>(
    x: Readonly<Partial<Record<Side, Float64Array>>>,
    y: Readonly<Partial<Record<Side, Float64Array>>>,
  ) =>
    Object.fromEntries(
      (Object.entries(x) as [Side, Float64Array][]).map(([side, numbers]) => [
        side,
        numbers.map((number, i) => number + (y[side]?.[i] ?? 0)),
      ]),
    ) as Partial<Record<Side, Float64Array>>;
  return {kvHeads: a.kvHeads, dim: a.dim, grams: sum(a.grams, b.grams), sums: sum(a.sums, b.sums)};
}
