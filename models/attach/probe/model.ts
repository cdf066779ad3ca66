import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../../cache/kv_cache.js';
import {full} from '../../../cache/policies/full.js';
import {EigenkvError, ModelError} from '../../../base/errors.js';
import {seededRandom} from '../../../base/random.js';
import {makesMask} from '../../../layers/mask_sources.js';
import {entryLayers} from '../../adapters/index.js';
import {namedVocabulary} from '../settings.js';
import {type Finding, asFloats, differences, firstBeyond, largestOf, tokensOf} from './finding.js';

/**
 * What two ways of computing the same may differ by: a share of how much outputs vary from token to token, and of the largest.
 * Rounding makes about 1e-6 of a few layers and 1e-5 of tens; positions that start anew with each step make far more.
 */
const tolerance = {ofSpread: 1e-3, ofLargest: 1e-5};

/** A model, the input that gets tokens, and what the others get, by their place. */
export interface ProbedModel {
  readonly model: tf.LayersModel;
  readonly input: number;
  readonly beside: readonly tf.Tensor[];
}

/** Tokens of the other inputs: a number that no other axis is likely to have. */
const besideTokens = 11;

/** A model with random numbers for the inputs that get no tokens. */
export function probedModel(model: tf.LayersModel, input: number): ProbedModel {
  return {model, input, beside: model.inputs.map((_, place) => randomText(model, besideTokens, place))};
}

/** Compares a model over a text without a cache, `whole`, with an exact one in steps: in chunks, token by token, and both. */
export function probeModel(probed: ProbedModel, x: tf.Tensor, whole: tf.Tensor): Finding[] {
  const tokens = x.shape[1]!;
  return schedules(tokens).map(({name, steps}) => compared(name, whole, stepped(probed, x, steps), tokens));
}

function schedules(tokens: number): {name: string; steps: number[]}[] {
  const single = Math.min(tokens, 64);
  const last = Math.min(tokens - 1, 8);
  return [
    {name: 'token by token', steps: [...ones(single), tokens - single]},
    {name: 'in chunks', steps: chunks(tokens)},
    {name: 'as a prompt and single tokens', steps: [tokens - last, ...ones(last)]},
  ].map(({name, steps}) => ({name, steps: steps.filter(count => count > 0)}));
}

const ones = (count: number) => Array.from({length: count}, () => 1);

function chunks(tokens: number): number[] {
  const steps: number[] = [];
  for (let left = tokens, i = 0; left > 0; left -= steps.at(-1)!, i++) {
    steps.push(Math.min(left, [7, 16, 2, 9][i % 4]!));
  }
  return steps;
}

/** A model that gives the last token's output only is compared at the end of the text. */
function compared(how: string, whole: tf.Tensor, parts: readonly tf.Tensor[], tokens: number): Finding {
  const ofTokens = whole.rank >= 3 && whole.shape[1] === tokens;
  const found = ofTokens ? tf.concat([...parts], 1) : parts.at(-1)!;
  if (found.shape.join() !== whole.shape.join()) {
    throw new ModelError(
      `With a cache the model gives [${found.shape.join(', ')}] where it gives [${whole.shape.join(', ')}] without: a layer that is no ` +
        'attention joins tokens.',
    );
  }
  const asTokens = (x: tf.Tensor) => (ofTokens ? x : tf.reshape(x, [x.shape[0], 1, -1]));
  const expected = asFloats(asTokens(whole));
  return {
    numbers: tf.concat([
      largestOf(expected),
      largestOf(tf.sub(expected, tf.mean(expected, [0, 1], true))),
      differences(expected, asTokens(found)),
    ]),
    judge([largest = NaN, spread = NaN, ...byToken]) {
      const leastSpread = tolerance.ofLargest * largest;
      if (!Number.isFinite(largest)) {
        throw new ModelError("The model's outputs are not finite numbers: its weights are damaged.");
      }
      if (!(spread > leastSpread)) {
        throw new ModelError(
          'The model predicts the same for all tokens, so that nothing can be compared with and without a cache. Give it weights first, or ' +
            'pass {check: false} and compare yourself.',
        );
      }
      const first = firstBeyond(Float32Array.from(byToken), tolerance.ofSpread * spread + leastSpread);
      if (first < 0) return;
      const where = ofTokens ? `at token ${first} of ${tokens} and from there on` : `behind ${tokens} tokens`;
      throw new ModelError(
        `With a cache the model predicts otherwise than without, ${how}: ${where}. A layer computes from positions and no position ` +
          'adapter is there for its class (registerPositionAdapter), one mixes tokens without being attention, or an attention is ' +
          'not causal: docs/guides/adapters.md.',
      );
    },
  };
}

function stepped(probed: ProbedModel, x: tf.Tensor, steps: readonly number[]): tf.Tensor[] {
  const cache = new KVCache(probed.model, full());
  try {
    let from = 0;
    return steps.map(count => {
      from += count;
      return outputOf(probed, tokensOf(x, from - count, count), cache);
    });
  } finally {
    cache.dispose();
  }
}

export function outputOf({model, input, beside}: ProbedModel, x: tf.Tensor, cache?: KVCache): tf.Tensor {
  try {
    const given = beside.length === 1 ? x : beside.map((other, place) => (place === input ? x : other));
    const output = model.apply(given, cache && {cache});
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

/** Random ids for an input, or random numbers where it takes vectors; two texts, where it takes more than one. */
export function randomText(model: tf.LayersModel, tokens: number, input = 0): tf.Tensor {
  const {dtype, shape} = model.inputs[input]!;
  const [batch = null, length = tokens, ...rest] = shape;
  const sizes = [batch ?? 2, Math.min(tokens, length ?? tokens), ...rest.map(size => size ?? 1)];
  if (rest.length > 0) return tf.cast(tf.randomNormal(sizes, 0, 1, 'float32', 1), dtype);
  const entries = entryLayers(model, input);
  const least = entries.some(makesMask) ? 1 : 0; // 0 is padding
  const known = entries.map(layer => namedVocabulary(layer) ?? Infinity);
  const vocabulary = Math.min(...known, Infinity);
  const random = seededRandom(1);
  const count = (Number.isFinite(vocabulary) ? vocabulary : 2) - least;
  const ids = Array.from({length: sizes[0]! * sizes[1]!}, () => least + Math.floor(random() * count));
  return tf.tensor(ids, sizes, dtype);
}
