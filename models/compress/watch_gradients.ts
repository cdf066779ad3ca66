import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {seededRandom} from '../../base/random.js';
import type {Rotation} from '../../ops/rotate/index.js';
import {type DenseAttention, nameOf, takesCache} from '../adapters/index.js';
import {
  RecordedAttention,
  type RecordedDepth,
  ShiftedAttention,
  type ShiftsOfDepth,
  type SideGradients,
  throughLaterSteps,
} from './gradient_attention.js';
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

export interface WatchGradientsOptions {
  /** Seed of the drawn tokens. */
  readonly seed: number;
  /** Called once per depth, from the last to the first, inside a tidy. */
  readonly see: (depth: number, gradients: TokenGradients) => void;
}

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
