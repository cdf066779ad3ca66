import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import {full} from '../../cache/policies/full.js';
import {EigenkvError, InvalidArgumentError, ModelError} from '../../ops/errors.js';

/** Tokens of the probe come in these steps: several at once, and one by one. */
const steps = [3, 1, 2];

/**
 * Share of the largest output that two ways of computing the same may differ by. Rounding makes about 1e-6 of a few layers and
 * 1e-5 of tens; positions that start anew with each step make far more.
 */
const tolerance = 1e-3;

/**
 * Runs a few tokens through a model, all at once without a cache and step by step with an exact one.
 * @throws ModelError where the outputs differ.
 */
export async function checkAttached(model: tf.LayersModel, contextLength: number): Promise<void> {
  const [input, ...otherInputs] = model.inputs;
  if (input === undefined || otherInputs.length > 0 || model.outputs.length !== 1) {
    throw new InvalidArgumentError(
      `The model has ${model.inputs.length} inputs and ${model.outputs.length} outputs; a few tokens are compared with and without ` +
        'a cache where it has one of each. Pass {check: false} and compare yourself.',
    );
  }
  const length = Math.min(
    input.shape[1] ?? Infinity,
    contextLength,
    steps.reduce((a, b) => a + b),
  );
  const whole = lastOutputs(model, input, [length]);
  const stepped = lastOutputs(model, input, stepsTo(length), new KVCache(model, full()));
  const [expected, found] = await Promise.all([whole.data<'float32'>(), stepped.data<'float32'>()]).finally(
    () => tf.dispose([whole, stepped]),
  );
  const most = expected.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  const difference = expected.reduce((largest, x, i) => Math.max(largest, Math.abs(x - found[i]!)), 0);
  if (difference <= tolerance * most) return;
  throw new ModelError(
    `With a cache the model predicts otherwise than without: its last outputs, up to ${most.toPrecision(3)}, differ by ` +
      `${difference.toPrecision(3)}. A layer computes from positions and no position adapter is there for its class ` +
      '(registerPositionAdapter), one mixes tokens without being attention, or an attention is not causal: docs/guides/adapters.md.',
  );
}

/** The outputs of the last token, after steps of a probe. */
function lastOutputs(
  model: tf.LayersModel,
  input: tf.SymbolicTensor,
  lengths: readonly number[],
  cache?: KVCache,
): tf.Tensor {
  try {
    return tf.tidy(() => {
      const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b));
      const outputs = lengths.map((length, i) => {
        return outputOf(model, probe(input, ends[i]! - length, length), cache);
      });
      const last = outputs.at(-1)!;
      return last.rank < 3 ? last : tf.slice(last, [0, last.shape[1]! - 1], [1, 1]);
    });
  } finally {
    cache?.dispose();
  }
}

function outputOf(model: tf.LayersModel, x: tf.Tensor, cache: KVCache | undefined): tf.Tensor {
  try {
    const output = model.apply(x, cache && {cache});
    return (Array.isArray(output) ? output[0] : output) as tf.Tensor;
  } catch (error) {
    if (error instanceof EigenkvError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new ModelError(
      `The model does not run on ${x.shape[1] ?? 0} tokens, and with a cache it is given as few as one: ${why}. Build it with ` +
        'inputs and layers of any length (shape [null]; no inputLength).',
      {cause: error},
    );
  }
}

/** Tokens of a probe from a position on: ids 1, 0, 1, 1, 0, 1, or waves where the model takes vectors. */
function probe({dtype, shape}: tf.SymbolicTensor, start: number, length: number): tf.Tensor {
  const [, , ...rest] = shape;
  const numbers = rest.reduce<number>((product, size) => product * (size ?? 1), 1);
  const value = (token: number, i: number) =>
    rest.length === 0 ? Number(token % 3 !== 1) : Math.sin(token * 7 + i);
  const values = Array.from({length: length * numbers}, (_, i) =>
    value(start + Math.floor(i / numbers), i % numbers),
  );
  return tf.tensor(values, [1, length, ...rest.map(size => size ?? 1)], dtype);
}

function stepsTo(length: number): number[] {
  const taken: number[] = [];
  for (const step of steps) {
    const room = length - taken.reduce((sum, given) => sum + given, 0);
    if (room > 0) taken.push(Math.min(step, room));
  }
  return taken;
}
