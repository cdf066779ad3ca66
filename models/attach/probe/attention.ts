import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../../cache/kv_cache.js';
import {full} from '../../../cache/policies/full.js';
import {EigenkvError, ModelError} from '../../../base/errors.js';
import type {AttachedAttention} from '../attach_layers.js';
import {attendWithCache} from '../attached_calls.js';
import {namedWindow} from '../settings.js';
import {type Finding, differences, firstBeyond, largestOf, tokensOf} from './finding.js';

/**
 * Share of the largest output of one layer that two ways of computing it may differ by. Rounding makes some 1e-6; one token of
 * 512 that is not attended makes 1e-3.
 */
const tolerance = 1e-4;

/** Tokens at which scores are made large, where caps show, and over which a layer is looked at by itself. */
const briefTokens = 64;
/** Tokens of two texts at once. */
const batchTokens = 16;
/** Scores of a text's tokens spread by so much: mild, where each token counts, and hot, where few do. */
const spreads = {mild: 1.5, hot: 6};

/** Numbers of a matrix of scores, all heads together, up to which a layer of others is given a long text: 128 MiB. */
const mostScores = 2 ** 25;

/**
 * Compares one layer with what its adapter says of it: over random hidden states, with the layer's own weights, all at once and
 * in steps over an exact cache. The layer stands alone, so that nothing before or behind it can hide what it does.
 *
 * @param tokens how many tokens, unless a window needs more.
 * @throws ModelError if its config names a window that is too wide to be tried, and its adapter names none.
 */
export function probeAttention(attached: AttachedAttention, context: number, tokens: number): Finding[] {
  const {attention, layer} = attached;
  const named = namedWindow(layer);
  const most = Math.floor(Math.sqrt(mostScores / attention.heads));
  const wanted = Math.min(context, Math.max(tokens, Math.max(named, attention.window ?? 0) + briefTokens));
  const length = Math.min(wanted, most);
  if (length < wanted && attention.window === undefined && named >= length) {
    throw new ModelError(
      `${nameOf(attached)} names a window of ${named} tokens, of which ${length} can be tried; its adapter must say "window", be it ` +
        'Infinity if nothing is left out.',
    );
  }
  // two texts are few tokens: tfjs multiplies batches of matrices up to 37 times slower than one
  const brief = statesFor(attached, [1, Math.min(briefTokens, length)], spreads.hot);
  const two = statesFor(attached, [2, Math.min(batchTokens, length)], spreads.hot);
  const long = statesFor(attached, [1, length], spreads.mild);
  return [
    compared(attached, brief, context, dependence),
    compared(attached, two, context),
    compared(attached, long, context),
  ];
}

/** Hidden states for which the layer's scores have this spread. */
function statesFor(
  {layer, nodes, attention}: AttachedAttention,
  [batch, tokens]: readonly [number, number],
  spread: number,
): tf.Tensor {
  const dim = nodes[0]!.inputTensors[0]!.shape[2];
  if (typeof dim !== 'number') {
    throw new ModelError(
      `Attention layer "${layer.name}" gets [${nodes[0]!.inputTensors[0]!.shape.join(', ')}]; expected hidden states [batch, tokens, dim].`,
    );
  }
  const x = tf.randomNormal([batch, tokens, dim], 0, 1, 'float32', tokens);
  const {queries, keys} = attention.parts.project(tokensOf(x, 0, Math.min(briefTokens, tokens)));
  const {headDim, scale = 1 / Math.sqrt(headDim)} = attention;
  const meanSquares = tf.mul(tf.mean(tf.square(queries)), tf.mean(tf.square(keys)));
  const natural = tf.mul(tf.sqrt(tf.mul(meanSquares, headDim)), Math.abs(scale));
  // scores go by the square of what comes in, up to biases and norms
  return tf.mul(x, tf.clipByValue(tf.sqrt(tf.div(spread, tf.add(natural, 1e-30))), 1e-6, 1e6));
}

function compared(
  attached: AttachedAttention,
  x: tf.Tensor,
  context: number,
  lookAt?: typeof dependence,
): Finding {
  const tokens = x.shape[1]!;
  const whole = originalOf(attached, x);
  const stepped = imitationOf(attached, x, context);
  if (whole.shape.join() !== stepped.shape.join()) {
    throw new ModelError(
      `${nameOf(attached)} gives [${whole.shape.join(', ')}] for [${x.shape.join(', ')}], and by its adapter ` +
        `[${stepped.shape.join(', ')}]. Correct the adapter's "parts": docs/guides/adapters.md.`,
    );
  }
  return {
    numbers: tf.concat([
      largestOf(whole),
      differences(whole, stepped),
      ...(lookAt ? [lookAt(attached, x, whole)] : []),
    ]),
    judge(numbers) {
      const largest = numbers[0]!;
      if (!Number.isFinite(largest)) {
        throw new ModelError(
          `${nameOf(attached)} gives numbers that are not finite; its weights are damaged.`,
        );
      }
      const bound = tolerance * largest;
      const first = firstBeyond(numbers.subarray(1, tokens + 1), bound);
      const seen = numbers.subarray(tokens + 1);
      if (first < 0 && !(seen[0]! > bound)) return; // by chance it may agree once
      throw new ModelError(
        `${nameOf(attached)} is not what its adapter says, over ${tokens} tokens: ` +
          `${reason(first, seen, bound)} docs/guides/adapters.md says what an adapter can tell; ` +
          '{check: false} leaves this out.',
      );
    },
  };
}

/**
 * How a layer's output over a text depends on chance, on the later half, and, at each token, on the first one: the largest changes,
 * `[2 + tokens]`.
 */
function dependence(attached: AttachedAttention, x: tf.Tensor, whole: tf.Tensor): tf.Tensor {
  const tokens = x.shape[1]!;
  const half = Math.ceil(tokens / 2);
  const another = tf.concat([tf.neg(tokensOf(x, 0, 1)), tokensOf(x, 1, tokens - 1)], 1);
  return tf.concat([
    largestOf(tf.sub(whole, originalOf(attached, x))),
    largestOf(tf.sub(originalOf(attached, tokensOf(x, 0, half)), tokensOf(whole, 0, half))),
    differences(whole, originalOf(attached, another)),
  ]);
}

/** What a difference that begins at a token is most often. */
function reason(
  first: number,
  [byChance = 0, byFuture = 0, ...ofFirst]: Float32Array,
  bound: number,
): string {
  if (byChance > bound) {
    return 'it gives other numbers for the same tokens each time: dropout that is active, or a state.';
  }
  if (byFuture > bound) return 'it is not causal: its output at a token depends on later tokens.';
  if (first === 0) {
    return 'it differs from the first token on: weights or biases in another layout, keys beside those of the tokens (sinks), a residual.';
  }
  const agrees = `it agrees for ${first} token${first === 1 ? '' : 's'} and differs from then on:`;
  const window = windowOf(ofFirst, bound, first);
  if (window !== undefined) return `${agrees} a local window of ${window}? Its adapter can say "window".`;
  return `${agrees} another scale, rotary positions, biases of scores (ALiBi, relativeBias), caps of scores, norms of queries and keys.`;
}

/**
 * The tokens that the first one has an influence on, where the difference begins behind them: at once, or a few tokens late, where
 * the token that is left out happens to have no weight.
 */
function windowOf(influences: readonly number[], bound: number, first: number): number | undefined {
  if (influences.length === 0) return first < briefTokens ? undefined : first; // else it showed in the brief text
  const window = influences.findLastIndex(influence => influence > 1e-3 * bound) + 1;
  return window <= first && first < window + 4 ? window : undefined;
}

/** A layer over a text, as it is without a cache. */
function originalOf(attached: AttachedAttention, x: tf.Tensor): tf.Tensor {
  const inputs = Array.from(attached.nodes[0]!.inputTensors, () => x);
  try {
    const output = attached.original(inputs, {});
    return (Array.isArray(output) ? output[0] : output) as tf.Tensor;
  } catch (error) {
    if (error instanceof EigenkvError) throw error;
    throw new ModelError(
      `${nameOf(attached)} does not run on ${x.shape[1] ?? 0} tokens: ${error instanceof Error ? error.message : String(error)}. If ` +
        'it takes only so many, its adapter must say "contextLength".',
      {cause: error},
    );
  }
}

/** The same over an exact cache: half of the text, a token, the rest. */
function imitationOf({attention}: AttachedAttention, x: tf.Tensor, context: number): tf.Tensor {
  const {heads, kvHeads, headDim: dim} = attention;
  const cache = new KVCache([{depth: 0, heads, kvHeads, dim, dimV: dim}], full());
  const tokens = x.shape[1]!;
  const half = Math.ceil(tokens / 2);
  const parts = [half, Math.min(1, tokens - half), tokens - half - 1].filter(count => count > 0);
  try {
    const outputs = parts.map(count =>
      attendWithCache(attention, tokensOf(x, cache.tokens, count), cache, {depth: 0, context}),
    );
    return tf.concat(outputs, 1);
  } finally {
    cache.dispose();
  }
}

const nameOf = ({layer}: AttachedAttention) => `Attention layer "${layer.name}" (${layer.getClassName()})`;
