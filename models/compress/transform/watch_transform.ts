import * as tf from '@tensorflow/tfjs';
import type {SeenTokens, Watcher} from '../../../cache/watch/watched_cache.js';
import {batchedMatMul} from '../../../ops/batched_matmul/index.js';
import {rotate} from '../../../ops/rotate/index.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';
import {stepTokens} from '../gradient_attention.js';
import type {TokenGradients} from '../watch_gradients.js';
import {HostSums} from './host_sums.js';
import {phasesOf} from './phases.js';
import {type DepthUnits, centredKeys, encodersOf, unitsOf} from './units.js';
import {
  type DepthTransformStatistics,
  type TransformStatistics,
  type TransformSum,
  sumShape,
  transformSums,
} from './statistics.js';

/** Attention sinks: the first tokens of a text, whose keys and values are unlike all others. Caches keep them exact. */
const sinkTokens = 4;

/** The smallest scale: log2 of 0 would be -Infinity. */
const leastScale = 1e-9;

/** The first pass: sums of keys and values. */
export class TransformFeatures implements Watcher {
  private readonly sums = new HostSums();
  private readonly sizes: {kvHeads: number; dim: number}[] = [];
  private readonly origins: tf.Tensor4D[] = [];
  private rope: RopeConfig | undefined;
  private tokens = 0;

  see(depth: number, fresh: SeenTokens): void {
    const found = withoutSinks(fresh);
    if (found === undefined) return;
    const {keys, values, rotation} = found;
    const [, kvHeads, tokens, dim] = keys.shape;
    if (depth === 0) this.tokens += tokens;
    this.rope = fresh.rope;
    this.sizes[depth] = {kvHeads, dim};
    this.origins[depth] ??= tf.keep(tf.mean<tf.Tensor4D>(keys, 2, true));
    const moved = tf.sub<tf.Tensor4D>(keys, this.origins[depth]);
    const rotated = headsOf(rotation ? rotate(moved, rotation) : moved);
    const phases = phasesOf(rotation, tokens);
    const add = (name: TransformSum, term: tf.Tensor) => this.sums.add(depth, name, term);
    add('keys', tf.sum(moved, [0, 2]));
    add('keyGrams', gramOf(rotated));
    const ofHeads = tf.tile(tf.expandDims<tf.Tensor3D>(phases, 0), [kvHeads, 1, 1]);
    add('keyPhases', batchedMatMul(rotated, ofHeads, {transposeA: true}));
    add('phaseGrams', batchedMatMul(phases, phases, {transposeA: true}));
    add('valueGrams', gramOf(headsOf(values)));
  }

  take(): Promise<void> {
    return this.sums.take();
  }

  /** @param outputMetrics of each depth: see `DepthTransformStatistics`. */
  async statistics(outputMetrics: readonly Float64Array[]): Promise<TransformStatistics> {
    const {rope, tokens, sizes} = this;
    const depths: DepthTransformStatistics[] = [];
    for (const [depth, {kvHeads, dim}] of sizes.entries()) {
      const origin = Float64Array.from(await this.origins[depth]!.data<'float32'>());
      depths.push(
        withSums(
          {kvHeads, dim, origin, outputMetrics: outputMetrics[depth]!, sums: {}},
          depth,
          rope,
          this.sums,
        ),
      );
    }
    return {tokens, gradientTokens: 0, scaleTokens: 0, ...(rope && {rope}), depths};
  }

  dispose(): void {
    this.sums.dispose();
    tf.dispose(this.origins);
    this.origins.length = 0;
  }
}

/** The second pass: sums of gradients. A token's squares are in units of the variances that the first pass found. */
export class TransformGradients {
  private readonly sums = new HostSums();
  private readonly units: DepthUnits[];
  private tokens = 0;

  constructor(private readonly features: TransformStatistics) {
    this.units = unitsOf(features);
  }

  /** See `watchGradients`. */
  see(depth: number, {keys, values, rotation, later}: TokenGradients): void {
    const tokens = keys.shape[2];
    const last = (Math.ceil(tokens / stepTokens) - 1) * stepTokens; // no later step reads the last one's tokens
    const count = last - sinkTokens;
    if (count <= 0) return;
    if (depth === 0) this.tokens += count;
    const {keyVariances, valueVariance, ...centre} = this.units[depth]!;
    const keySquares = tf.divNoNan(tf.square(centredKeys({keys, rotation}, centre)), keyVariances);
    const valueSquares = tf.divNoNan(tf.square(values), valueVariance);
    const gram = (gradient: tf.Tensor4D, squares: tf.Tensor) => {
      const weighted: tf.Tensor4D = tf.mul(gradient, tf.sqrt(tf.mean(squares, 3, true)));
      return gramOf(headsOf(tf.slice(weighted, [0, 0, sinkTokens, 0], [-1, -1, count, -1])));
    };
    this.sums.add(depth, 'keyMetrics', gram(later.keys, keySquares));
    this.sums.add(depth, 'valueMetrics', gram(later.values, valueSquares));
  }

  take(): Promise<void> {
    return this.sums.take();
  }

  get statistics(): TransformStatistics {
    return {...together(this.features, this.sums), gradientTokens: this.tokens};
  }

  dispose(): void {
    this.sums.dispose();
    tf.dispose([...this.units]);
  }
}

/** The third pass: sums of token scales, by the transforms of the passes before. */
export class TransformScales implements Watcher {
  private readonly sums = new HostSums();
  private readonly units: DepthUnits[];
  private readonly encoders: {keys: tf.Tensor3D; values: tf.Tensor3D}[];
  private tokens = 0;

  constructor(private readonly before: TransformStatistics) {
    this.units = unitsOf(before);
    this.encoders = encodersOf(before);
  }

  see(depth: number, fresh: SeenTokens): void {
    const found = withoutSinks(fresh);
    if (found === undefined) return;
    if (depth === 0) this.tokens += found.keys.shape[2];
    const encoders = this.encoders[depth]!;
    const add = (name: TransformSum, x: tf.Tensor4D, encoder: tf.Tensor3D) => {
      const squares = tf.mean(tf.square(batchedMatMul(headsOf(x), encoder)), 2);
      const logs = tf.div(tf.log(tf.maximum(tf.sqrt(squares), leastScale)), Math.LN2);
      this.sums.add(depth, name, tf.stack([tf.sum(logs, 1), tf.sum(tf.square(logs), 1)], 1));
    };
    add('keyScales', centredKeys(found, this.units[depth]!), encoders.keys);
    add('valueScales', found.values, encoders.values);
  }

  take(): Promise<void> {
    return this.sums.take();
  }

  get statistics(): TransformStatistics {
    return {...together(this.before, this.sums), scaleTokens: this.tokens};
  }

  dispose(): void {
    this.sums.dispose();
    tf.dispose([...this.units, ...this.encoders]);
  }
}

/** Undefined if there are only sinks. */
function withoutSinks({
  keys,
  values,
  rotation,
  start,
}: SeenTokens): Pick<SeenTokens, 'keys' | 'values' | 'rotation'> | undefined {
  const from = Math.max(sinkTokens - start, 0);
  if (from === 0) return {keys, values, ...(rotation && {rotation})};
  if (from >= keys.shape[2]) return undefined;
  const rest = <T extends tf.Tensor>(x: T, axis: number): T =>
    tf.slice(
      x,
      x.shape.map((_, i) => (i === axis ? from : 0)),
      x.shape.map((size, i) => (i === axis ? size - from : size)),
    );
  return {
    keys: rest(keys, 2),
    values: rest(values, 2),
    ...(rotation && {rotation: {...rotation, cos: rest(rotation.cos, 0), sin: rest(rotation.sin, 0)}}),
  };
}

/** `[1, kvHeads, tokens, dim]` to `[kvHeads, tokens, dim]`: calibration runs one text at a time. */
const headsOf = (x: tf.Tensor4D): tf.Tensor3D => tf.squeeze(x, [0]);

const gramOf = (x: tf.Tensor3D) => batchedMatMul(x, x, {transposeA: true});

function together(before: TransformStatistics, sums: HostSums): TransformStatistics {
  return {...before, depths: before.depths.map((depth, i) => withSums(depth, i, before.rope, sums))};
}

/** The sums of a depth as they are, replaced by those given; zeros if there are none. */
function withSums(
  before: Omit<DepthTransformStatistics, 'sums'> & {readonly sums: Partial<DepthTransformStatistics['sums']>},
  depth: number,
  rope: RopeConfig | undefined,
  given: HostSums,
): DepthTransformStatistics {
  const {kvHeads, dim} = before;
  const names = Object.keys(transformSums) as TransformSum[];
  const sums = Object.fromEntries(
    names.map(name => {
      const size = sumShape(name, {kvHeads, dim, rope}).reduce((product, axis) => product * axis, 1);
      return [name, given.total(depth, name) ?? before.sums[name] ?? new Float64Array(size)];
    }),
  ) as Record<TransformSum, Float64Array>;
  return {...before, sums};
}
