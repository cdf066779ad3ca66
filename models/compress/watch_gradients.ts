import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {seededRandom} from '../../base/random.js';
import type {AttentionCache} from '../../cache/attention_cache.js';
import type {FreshTokens} from '../../cache/past/fresh_tokens.js';
import {attend} from '../../ops/attention/attend/index.js';
import {causalAttentionGradient} from '../../ops/attention/causal/gradient.js';
import {causalAttention} from '../../ops/attention/causal/index.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../ops/attention/merge_partials/log_sum.js';
import {type Rotation, rotateBoth} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import {type DenseAttention, nameOf, takesCache} from '../adapters/index.js';
import {type Segment, segmentsOf} from './segments.js';

/** The tokens of one depth with the gradients of the loss: float32 `[1, kvHeads, tokens, dim]`. */
export interface TokenGradients {
  /** Keys, not rotated. */
  readonly keys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
  /** The rotation of keys by their positions; absent if the model has no rotary positions. */
  readonly rotation?: Rotation;
  /** Gradients by keys as attended (rotated if there is a rotation) and by values. */
  readonly all: SideGradients;
  /** The same through the queries of later steps only, if each step has `stepTokens` tokens. */
  readonly later: SideGradients;
}

export interface SideGradients {
  readonly keys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
}

export interface WatchGradientsOptions {
  /** Seed of the drawn tokens. */
  readonly seed: number;
  /** Called once per depth, from the last to the first, inside a tidy. */
  readonly see: (depth: number, gradients: TokenGradients) => void;
}

/** Tokens of a step: a token is exact in the step that brings it, so only the queries of later steps read what is stored of it. */
export const stepTokens = 64;

/** Positions of the model's head at a time: their logits, of the whole vocabulary, are the largest tensors. */
const headTokens = 64;

/**
 * Computes what a change of each token's key and value costs,
 *
 *     g = d (sum_t ln p(y_t)) / dk        with y_t drawn from the model's own probabilities of the token after t
 *
 * To second order a change dk costs `KL(exact || changed) = 1/2 E[(g . dk)^2]`, the Fisher information. It includes what softmax
 * makes of a score at any distance, and what later depths make of an output. So the Gram matrices of g weigh directions in nats,
 * in one unit at all depths. (Fisher-weighted factors: Hsu et al., 2022, arXiv 2207.00112; ranks of a cache by it: Palu, Chang et
 * al., 2024, arXiv 2407.21118.)
 *
 * The model runs segment by segment: only the tensors between segments and the attention's inputs and outputs stay in memory, and the
 * backward pass computes each segment again. No gradients of weights are computed.
 *
 * @param ids one text, in one pass.
 * @throws InvalidArgumentError if a layer takes no cache; ModelError if the model has several inputs or outputs.
 */
export async function watchGradients(
  model: tf.LayersModel,
  attentions: readonly DenseAttention[],
  ids: readonly number[],
  {seed, see}: WatchGradientsOptions,
): Promise<void> {
  expectGradients(model, attentions);
  const segments = segmentsOf(model);
  const recorded = new RecordedAttention();
  const inputs: tf.Tensor[] = [tf.tensor2d([...ids], [1, ids.length], model.inputs[0]!.dtype)];
  const depthsOf: number[][] = [];
  let dy: tf.Tensor | undefined;
  try {
    for (const segment of segments) {
      const seen = recorded.depths.size;
      if (seen === attentions.length && segment === segments.at(-1)) break; // the model's head, whose tokens do not depend on others
      inputs.push(segment.run(inputs.at(-1)!, {cache: recorded}));
      depthsOf.push([...recorded.depths.keys()].slice(seen));
    }
    const head = segments.length > depthsOf.length ? segments.at(-1)! : {run: tf.clone};
    dy = await headGradient(head, inputs.at(-1)!, seededRandom(seed));
    const first = depthsOf.findIndex(({length}) => length > 0);
    for (let at = depthsOf.length - 1; at >= first; at--) {
      inputs.pop()!.dispose(); // what `dy` is the gradient of
      const depths = depthsOf[at]!.map(depth => recorded.depths.get(depth)!);
      const next = segmentGradient(segments[at]!, {x: inputs.at(-1)!, dy, depths, wantsX: at > first}, see);
      dy.dispose();
      dy = next;
      for (const depth of depthsOf[at]!) recorded.forget(depth);
    }
  } finally {
    tf.dispose([...inputs, dy]);
    recorded.dispose();
  }
}

/**
 * @throws InvalidArgumentError if a layer takes no cache; ModelError if the model has several inputs or outputs.
 */
export function expectGradients(model: tf.LayersModel, attentions: readonly DenseAttention[]): void {
  const foreign = attentions.find(({layer}) => !takesCache(layer));
  if (foreign !== undefined) {
    throw new InvalidArgumentError(
      `Gradients need attention layers of eigenkv, and ${nameOf(foreign.layer)} is not one; calibrate without gradientTokens.`,
    );
  }
  segmentsOf(model);
}

/**
 * The gradient of `sum_t ln p(y_t)` by the input of the model's head, with y_t drawn: that by the logits is `one-hot(y_t) - p`.
 * @param x float32 `[1, tokens, ...]`.
 */
async function headGradient(head: Segment, x: tf.Tensor, random: () => number): Promise<tf.Tensor> {
  const parts: tf.Tensor[] = [];
  const tokens = x.shape[1]!;
  const step = Math.min(headTokens, tokens);
  try {
    for (let start = 0; start < tokens; start += step) {
      const count = Math.min(step, tokens - start);
      const part = tf.slice(x, [0, start], [1, count]);
      const chances = tf.tidy(() => tf.softmax(head.run(part)));
      const gradient = drawnGradient(await chances.data<'float32'>(), chances.shape.at(-1)!, random);
      parts.push(
        tf.tidy(() => tf.grad((of: tf.Tensor) => head.run(of))(part, tf.tensor(gradient, chances.shape))),
      );
      tf.dispose([part, chances]);
    }
    return tf.tidy(() => tf.concat(parts, 1));
  } finally {
    tf.dispose(parts);
  }
}

/** Draws one token per row of probabilities and returns `one-hot - p`. */
function drawnGradient(chances: Float32Array, vocabSize: number, random: () => number): Float32Array {
  const gradient = chances.map(chance => -chance);
  for (let start = 0; start < chances.length; start += vocabSize) {
    let left = random(); // probabilities sum to 1 but for rounding, then the last token is drawn
    let token = 0;
    for (; token < vocabSize - 1; token++) {
      left -= chances[start + token]!;
      if (left < 0) break;
    }
    gradient[start + token]! += 1;
  }
  return gradient;
}

interface SegmentInputs {
  readonly x: tf.Tensor;
  /** The gradient by the segment's result. */
  readonly dy: tf.Tensor;
  /** The attention inside the segment. */
  readonly depths: readonly RecordedDepth[];
  /** Whether the gradient by x is needed. */
  readonly wantsX: boolean;
}

/** The gradient by the segment's input (zero if it is not wanted), after showing those by keys and values. */
function segmentGradient(
  segment: Segment,
  {x, dy, depths, wantsX}: SegmentInputs,
  see: WatchGradientsOptions['see'],
): tf.Tensor {
  return tf.tidy(() => {
    const shifts = depths.map(({rotatedKeys, values, output}) =>
      [rotatedKeys, values, output].map(of => tf.zerosLike(of)),
    );
    const shifted = (input: tf.Tensor, changes: readonly tf.Tensor[]) =>
      segment.run(input, {
        cache: new ShiftedAttention(
          new Map(depths.map(({depth}, i) => [depth, changes.slice(3 * i, 3 * i + 3) as ShiftsOfDepth])),
        ),
      });
    const all = shifts.flat();
    const [dx, ...gradients] = wantsX
      ? tf.grads((input: tf.Tensor, ...changes: tf.Tensor[]) => shifted(input, changes))([x, ...all], dy)
      : [tf.scalar(0), ...tf.grads((...changes: tf.Tensor[]) => shifted(x, changes))(all, dy)];
    depths.forEach((depth, i) => {
      const [keys, values, outputs] = gradients.slice(3 * i, 3 * i + 3) as ShiftsOfDepth;
      tf.tidy(() => {
        const later = throughLaterSteps(depth, {keys, values}, outputs);
        see(depth.depth, {...depth, all: {keys, values}, later});
      });
    });
    return dx!;
  });
}

/** Gradients less what comes from queries of the token's own step. */
function throughLaterSteps(
  {rotatedQueries, rotatedKeys, values, output, logSums, scale}: RecordedDepth,
  all: SideGradients,
  dy: tf.Tensor4D,
): SideGradients {
  const tokens = rotatedKeys.shape[2];
  const own: {keys: tf.Tensor4D[]; values: tf.Tensor4D[]} = {keys: [], values: []};
  for (let start = 0; start < tokens; start += stepTokens) {
    const part = (x: tf.Tensor4D) =>
      tf.slice(x, [0, 0, start, 0], [-1, -1, Math.min(stepTokens, tokens - start), -1]);
    const [, keys, ofValues] = causalAttentionGradient(
      {
        queries: part(rotatedQueries),
        keys: part(rotatedKeys),
        values: part(values),
        output: part(output),
        logSums: part(logSums), // of all tokens, so probabilities are those of the whole attention
        dy: part(dy),
      },
      scale,
    ) as ShiftsOfDepth;
    own.keys.push(keys);
    own.values.push(ofValues);
  }
  return {
    keys: tf.sub(all.keys, tf.concat(own.keys, 2)),
    values: tf.sub(all.values, tf.concat(own.values, 2)),
  };
}

interface RecordedDepth {
  readonly depth: number;
  readonly scale: number;
  readonly rotation?: Rotation;
  readonly keys: tf.Tensor4D;
  readonly rotatedQueries: tf.Tensor4D;
  readonly rotatedKeys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
  readonly output: tf.Tensor4D;
  readonly logSums: tf.Tensor4D;
}

/** Attention of one text over itself; keeps what goes in and comes out. `dispose` it. */
class RecordedAttention implements AttentionCache {
  readonly tokens = 0;
  readonly depths = new Map<number, RecordedDepth>();

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const {rotation, scale, queries, keys} = rotated(fresh);
    const {values} = fresh;
    const partials = [
      attend(
        queries,
        {kind: 'dense', dim: keys.shape[3], data: keys},
        {kind: 'dense', dim: values.shape[3], data: values},
        {tokens: keys.shape[2], scale, firstQuery: 0},
      ),
    ];
    const output = mergePartials(partials);
    const kept = <T extends tf.Tensor>(x: T): T => tf.keep(tf.clone(x));
    this.depths.set(depth, {
      ...{depth, scale},
      ...(rotation && {rotation: {...rotation, cos: kept(rotation.cos), sin: kept(rotation.sin)}}),
      keys: kept(fresh.keys),
      rotatedQueries: kept(queries),
      rotatedKeys: kept(keys),
      values: kept(values),
      output: kept(output),
      logSums: kept(partialLogSum(partials)),
    });
    return output;
  }

  forget(depth: number): void {
    const recorded = this.depths.get(depth);
    if (recorded !== undefined) tf.dispose({...recorded});
    this.depths.delete(depth);
  }

  dispose(): void {
    for (const depth of this.depths.keys()) this.forget(depth);
  }
}

/** What is added to the keys as attended, the values and the output of one depth. */
type ShiftsOfDepth = [keys: tf.Tensor4D, values: tf.Tensor4D, output: tf.Tensor4D];

/** Attention of one text over itself, with something added. Differentiable. */
class ShiftedAttention implements AttentionCache {
  readonly tokens = 0;

  constructor(private readonly shifts: ReadonlyMap<number, ShiftsOfDepth>) {}

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const [ofKeys, ofValues, ofOutput] = this.shifts.get(depth)!;
    const {scale, queries, keys} = rotated(fresh);
    const output = causalAttention(queries, tf.add(keys, ofKeys), tf.add(fresh.values, ofValues), scale);
    return tf.add(output, ofOutput);
  }
}

/** Queries and keys as attended. */
function rotated({queries, keys, rope, scale}: FreshTokens) {
  const [, , tokens, dim] = queries.shape;
  const factor = scale ?? 1 / Math.sqrt(dim);
  if (rope === undefined) return {queries, keys, scale: factor};
  const rotation = rotationFor(rope, dim, 0, tokens);
  const [rotatedQueries, rotatedKeys] = rotateBoth(queries, keys, rotation);
  return {queries: rotatedQueries, keys: rotatedKeys, rotation, scale: factor};
}
