import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import type {AttendOptions} from '../../ops/attention/attend/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {tensorsOf, type DenseEncoding, type Encoding} from '../../ops/encodings/encoding.js';
import {quantize} from '../../ops/integer/index.js';
import type {AttentionProblem} from './attention_oracle.js';
import {randomFloats} from './random.js';

const dims = fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(31, 32, 33, 64));

/** Options of scores. */
export const scoringCases = {
  softCap: fc.option(fc.constantFrom(0.7, 5, 30), {nil: undefined}),
  /** A sliding window, over a run that begins at position 7 and ends so many tokens before query 0, unless attention is causal. */
  window: fc.option(
    fc.record({
      size: fc.oneof(fc.integer({min: 1, max: 24}), fc.constantFrom(64, 65, 300)),
      gap: fc.integer({min: 0, max: 5}),
    }),
    {nil: undefined},
  ),
};

/** Shapes of attention: grouped heads, spare capacity, causal or not, lengths around the edges of tiles. */
export const attentionCases = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  kvHeads: fc.oneof(
    {weight: 4, arbitrary: fc.integer({min: 1, max: 4})},
    {weight: 1, arbitrary: fc.constant(16)},
  ),
  group: fc.integer({min: 1, max: 4}),
  queryTokens: fc.oneof(fc.constant(1), fc.integer({min: 2, max: 9})),
  tokens: fc.oneof(
    {weight: 3, arbitrary: fc.integer({min: 0, max: 20})},
    {weight: 3, arbitrary: fc.constantFrom(63, 64, 65, 127, 128, 129)}, // the kernel's tiles have 64 tokens
    {weight: 1, arbitrary: fc.constantFrom(511, 512, 513)}, // the reference's 512
  ),
  spare: fc.integer({min: 0, max: 3}),
  dim: dims,
  dimV: dims,
  /** Offset of query 0 from its position in a causal prompt (tokens - queryTokens). Absent: not causal. */
  causalOffset: fc.option(fc.integer({min: -12, max: 3}), {nil: undefined}),
  ...scoringCases,
  spread: fc.constantFrom(0.1, 1, 4),
  seed: fc.integer(),
});

type DrawnCase = typeof attentionCases extends fc.Arbitrary<infer Case> ? Case : never;
export type AttentionCase = Omit<DrawnCase, 'softCap' | 'window'> &
  Partial<Pick<DrawnCase, 'softCap' | 'window'>>;

/** How one side is stored: integer codes, with groups that need not divide dim or tokens. Absent: dense. */
export const sideLayouts = fc.option(
  fc.record({
    bits: fc.constantFrom(8 as const, 4 as const, 2 as const),
    groupAxis: fc.constantFrom('channel' as const, 'token' as const),
    groupSize: fc.oneof(fc.integer({min: 1, max: 12}), fc.constantFrom(16, 32)),
    symmetric: fc.boolean(),
  }),
  {nil: undefined},
);

export type SideLayout = typeof sideLayouts extends fc.Arbitrary<infer Layout> ? Layout : never;

/** The numbers of a case. Every other seed has biases. */
export function problemOf(attentionCase: AttentionCase): AttentionProblem {
  const {batch, kvHeads, group, queryTokens, tokens, spare, dim, dimV, causalOffset, spread, seed} =
    attentionCase;
  const {softCap, window} = attentionCase;
  const heads = kvHeads * group;
  const capacity = tokens + spare;
  const firstQuery = causalOffset === undefined ? undefined : tokens - queryTokens + causalOffset;
  const positions = 7;
  return {
    ...{batch, heads, kvHeads, queryTokens, capacity, tokens, dim, dimV},
    scale: 1 / Math.sqrt(dim),
    firstQuery,
    softCap,
    ...(window && {
      window: {size: window.size, positions, firstQuery: positions + (firstQuery ?? tokens + window.gap)},
    }),
    queries: randomFloats(seed, batch * heads * queryTokens * dim, spread),
    keys: randomFloats(seed + 1, batch * kvHeads * capacity * dim, spread),
    values: randomFloats(seed + 2, batch * kvHeads * capacity * dimV),
    ...(seed % 2 === 0 && {bias: randomFloats(seed + 3, batch * kvHeads * tokens, 2)}),
  };
}

/** The problem's tensors. Spare rows hold NaN, so that a result shows if they were read. */
export function tensorsOfProblem(problem: AttentionProblem) {
  const {batch, heads, kvHeads, queryTokens, capacity, tokens, dim, dimV} = problem;
  const side = (x: ArrayLike<number>, columns: number) => {
    const isValid = (i: number) => Math.floor(i / columns) % capacity < tokens;
    const numbers = Float32Array.from(x, (value, i) => (isValid(i) ? value : NaN));
    return tf.tensor4d(numbers, [batch, kvHeads, capacity, columns]);
  };
  return {
    queries: tf.tensor4d(Float32Array.from(problem.queries), [batch, heads, queryTokens, dim]),
    keys: side(problem.keys, dim),
    values: side(problem.values, dimV),
  };
}

/** The options of attention over the whole problem. The caller disposes of `bias`; its spare rows hold NaN. */
export function optionsOf({
  tokens,
  scale,
  firstQuery,
  softCap,
  window,
  ...sizes
}: AttentionProblem): AttendOptions {
  const {bias, batch, kvHeads, capacity} = sizes;
  const options = {tokens, scale, firstQuery, softCap, window};
  if (bias === undefined) return options;
  const rows = Math.max(1, capacity);
  const numbers = new Float32Array(batch * kvHeads * rows).fill(NaN);
  for (let i = 0; i < bias.length; i++) numbers[Math.floor(i / tokens) * rows + (i % tokens)] = bias[i]!;
  return {...options, bias: tf.tensor4d(numbers, [batch, kvHeads, rows, 1])};
}

/** The options of attention over tokens `from .. from + tokens` of the problem. The caller disposes of `bias`. */
export function optionsOfPart(problem: AttentionProblem, from: number, tokens: number): AttendOptions {
  const {bias, firstQuery, ...whole} = optionsOf(problem);
  const {window} = problem;
  const part = {
    ...whole,
    tokens,
    ...(window && {window: {...window, positions: window.positions + from}}),
    ...(firstQuery !== undefined && {firstQuery: firstQuery - from}),
    ...(bias && {bias: tf.slice(bias, [0, 0, from, 0], [-1, -1, tokens, -1])}),
  };
  bias?.dispose();
  return part;
}

export const denseEncoding = (data: tf.Tensor4D): DenseEncoding => ({
  kind: 'dense',
  dim: data.shape[3],
  data,
});

/** A side as it is stored, and what its valid tokens decode to. The caller disposes of both. */
export function store(
  x: tf.Tensor4D,
  tokens: number,
  layout: SideLayout,
): {encoding: Encoding; decoded: tf.Tensor4D} {
  if (layout === undefined) return {encoding: denseEncoding(tf.clone(x)), decoded: tf.clone(x)};
  const [batch, kvHeads, capacity, dim] = x.shape;
  // per-channel codes store whole groups only: the rest of the last group is spare capacity, too
  const {groupAxis, groupSize} = layout;
  const rows = groupAxis === 'channel' ? Math.ceil(capacity / groupSize) * groupSize : capacity;
  const finite = tf.tidy(() =>
    tf.concat<tf.Tensor4D>(
      [
        tf.slice(x, [0, 0, 0, 0], [-1, -1, tokens, -1]),
        tf.fill<tf.Rank.R4>([batch, kvHeads, rows - tokens, dim], 0.25),
      ],
      2,
    ),
  );
  const encoding = quantize(finite, {...layout, dim});
  const decoded = tf.tidy(() =>
    tf.slice(decodeEncoding(encoding, 0, rows), [0, 0, 0, 0], [-1, -1, capacity, -1]),
  );
  finite.dispose();
  return {encoding, decoded};
}

export function disposeEncoding(encoding: Encoding): void {
  for (const {tensor} of Object.values(tensorsOf(encoding))) tensor.dispose();
}
