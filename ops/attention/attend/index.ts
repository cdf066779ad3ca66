import * as tf from '@tensorflow/tfjs';
import {floatBasis} from '../../encodings/decode.js';
import type {Encoding} from '../../encodings/index.js';
import {tokenEncodingOf} from '../../encodings/low_rank.js';
import {tokenKindOf, type TokenEncoding} from '../../encodings/token_kinds.js';
import {expandPartial} from '../../low_rank/index.js';
import {defineOp, runOp} from '../../run_op.js';
import {checkAttend} from './checks.js';
import {inLatentSpace} from './latent_space.js';
import {attendReference} from './reference.js';
import {hasKernels, oneByOne, optionsOfQueries} from './single_queries.js';
import {storedKeys} from './stored_keys.js';
import type {AttendOptions, Partial, StoredKeys, StoredSegment} from './types.js';
import './tensorflow.js';
import {attendWasm} from './wasm.js';
import {attendWebgpu} from './webgpu.js';

export type {AttendOptions, KeyRotation, Partial} from './types.js';

/**
 * Scaled dot-product attention of queries over a stored segment, tile by tile, in the segment's own encoding:
 *
 *     s_ij = cap(scale * q_i . k_j) + bias_j + relative_ij        m_i = max_j s_ij
 *     partial_i = [ sum_j exp(s_ij - m_i) v_j ,  m_i ,  sum_j exp(s_ij - m_i) ]
 *
 * Memory beyond the result is O(tile), never O(queries x tokens); a compressed segment is never decoded as a whole. A
 * query that sees no token gets `[0, -Infinity, 0]`. FlashAttention (Dao et al., 2022, arXiv 2205.14135) is the scheme.
 * Low-rank encodings are attended in the space of their latents: queries are projected once, and the summed output expanded once.
 * No kernel has caps of keys with a mean, and webgpu has no rotated means: they take plain tfjs ops. Relative biases, and windows over tokens with
 * positions of their own, take one query at a time.
 *
 * Normalised, outputs are within 2e-6 of the largest value from float64 over dense keys and values, and within 2e-5 over what
 * other encodings decode to, for scores up to millions; the float32 rounding of larger scores changes the softmax by more.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`; `heads` is a multiple of `kvHeads`, and query head h reads
 *   key head floor(h / (heads / kvHeads)) (grouped-query attention, Ainslie et al., 2023, arXiv 2305.13245).
 * @param keys, values encodings of the same tokens.
 * @throws InvalidArgumentError if shapes do not fit.
 */
export function attend(
  queries: tf.Tensor4D,
  keys: Encoding,
  values: Encoding,
  options: AttendOptions,
): Partial {
  checkAttend(queries, keys, values, options);
  if (hasKernels(options)) return attendAtOnce(queries, keys, values, options);
  return tf.tidy(() => {
    const ofQuery = optionsOfQueries(options, queries.shape);
    return oneByOne(queries, (query, index) => attendAtOnce(query, keys, values, ofQuery(index)));
  });
}

function attendAtOnce(
  queries: tf.Tensor4D,
  keys: Encoding,
  values: Encoding,
  options: AttendOptions,
): Partial {
  if (keys.kind !== 'lowRank' && values.kind !== 'lowRank') {
    return attendTokens(queries, keys, values, options);
  }
  return tf.tidy(() => {
    const effective = inLatentSpace(queries, keys, options);
    const {shift, scale} = effective;
    const isCapped = options.softCap !== undefined; // then a shift belongs to what is capped
    const partial = attendTokens(effective.queries, effective.keys, tokenEncodingOf(values), {
      ...options,
      scale,
      angles: effective.angles,
      shift: isCapped ? shift : undefined,
    });
    const expansion = values.kind === 'lowRank' ? {basis: floatBasis(values.basis), mean: values.mean} : {};
    return expandPartial(partial, {...expansion, shift: isCapped ? undefined : shift});
  });
}

function attendTokens(
  queries: tf.Tensor4D,
  keys: StoredKeys,
  values: TokenEncoding,
  options: AttendOptions & {
    readonly angles?: tf.Tensor4D | undefined;
    readonly shift?: tf.Tensor4D | undefined;
  },
): Partial {
  const {angles, shift} = options;
  const {inputs, attributes} = storedSegment(keys, values, options, angles !== undefined);
  if (angles !== undefined) Object.assign(inputs, {meanAngles: angles});
  if (shift !== undefined) {
    return tf.tidy(() => attendReference({queries, ...inputs, shift}, attributes));
  }
  return runOp(angles === undefined ? attendOp : attendMeanOp, {queries, ...inputs}, attributes);
}

/** A segment as kernels take it; see `storedKeys`. */
export function storedSegment(
  keys: StoredKeys,
  values: TokenEncoding,
  {tokens, scale, softCap, firstQuery, window, keyRotation, bias, skipping}: AttendOptions,
  hasRotatedMean = false,
): StoredSegment {
  const stored = storedKeys(keys, tokens, keyRotation, hasRotatedMean);
  const kind = tokenKindOf(values);
  const valueParams = kind.params(values);
  // assigned and not spread, which took longer than some kernels: this is for each segment of each depth at each token
  const inputs = Object.assign(stored.inputs, {valueData: kind.data(values)});
  const attributes = Object.assign(stored.attributes, {values: kind.layout(values), tokens, scale});
  if (valueParams !== undefined) Object.assign(inputs, {valueParams});
  if (bias !== undefined) Object.assign(inputs, {bias});
  if (softCap !== undefined) Object.assign(attributes, {softCap});
  if (firstQuery !== undefined) Object.assign(attributes, {firstQuery});
  if (window !== undefined) Object.assign(attributes, {window});
  if (skipping !== undefined) Object.assign(attributes, {skipping});
  return {inputs, attributes};
}

const attendOp = defineOp({
  name: 'Attend',
  reference: attendReference,
  kernels: {wasm: attendWasm, webgpu: attendWebgpu},
});

/** The same with a rotated mean, which has no shader yet. */
const attendMeanOp = defineOp({
  name: 'AttendRotatedMean',
  reference: attendReference,
  kernels: {wasm: attendWasm},
});
