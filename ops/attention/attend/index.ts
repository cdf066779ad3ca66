import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {
  capacityOf,
  headsOf,
  layoutOf,
  type Encoding,
  type TokenEncoding,
  type TokenLayout,
} from '../../encodings/encoding.js';
import {expandPartial} from '../../low_rank/index.js';
import {defineOp, runOp} from '../../run_op.js';
import {checkEncoding, checkQueries, checkTokens} from './checks.js';
import {inLatentSpace} from './latent_space.js';
import {attendReference} from './reference.js';
import {
  dataAndParams,
  storedKeys,
  type KeyAttributes,
  type KeyInputs,
  type KeyRotation,
  type StoredKeys,
} from './stored_keys.js';
import type {Visibility} from './visibility.js';
import {attendWasm} from './wasm.js';
import {attendWebgpu} from './webgpu.js';

export type {KeyRotation} from './stored_keys.js';
export type {LocalWindow} from './visibility.js';

/**
 * Attention over one segment before normalisation, as one float32 tensor `[batch, heads, tokens, dimV + 2]`: the weighted
 * sum of the values, then the largest score `m`, then the sum of `exp(score - m)`. One tensor, since WebGPU programs
 * have one output. Partials of several segments merge exactly: see `mergePartials`.
 */
export type Partial = tf.Tensor4D;

/** What attention over one segment needs to know beyond its tensors. */
export interface AttendOptions extends Visibility {
  /** How many of the segment's tokens are valid. */
  readonly tokens: number;
  /** Factor of the scores; always 1 / sqrt(dim of the uncompressed head). */
  readonly scale: number;
  /** The rotation of keys that were stored before it; needed there, and ignored by other encodings. */
  readonly keyRotation?: KeyRotation;
}

/**
 * Scaled dot-product attention of queries over a stored segment, tile by tile, in the segment's own encoding:
 *
 *     s_ij = scale * q_i . k_j        m_i = max_j s_ij
 *     partial_i = [ sum_j exp(s_ij - m_i) v_j ,  m_i ,  sum_j exp(s_ij - m_i) ]
 *
 * Memory beyond the result is O(tile), never O(queries x tokens); a compressed segment is never decoded as a whole. A
 * query that sees no token gets `[0, -Infinity, 0]`. FlashAttention (Dao et al., 2022, arXiv 2205.14135) is the scheme.
 * Low-rank encodings are met in the space of their latents: queries are projected once, and the summed output expanded once.
 * Local windows have no kernel yet: they take plain tfjs ops on every backend, over the tokens that a run has within them.
 *
 * Normalised, outputs lie within 2e-6 of the largest value from float64 over dense keys and values, and within 2e-5 over what
 * other encodings decode to, for scores up to millions; beyond, scores themselves are rounded by more than softmax forgives.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`; `heads` is a multiple of `kvHeads`, and query head h reads
 *   key head floor(h / (heads / kvHeads)) (grouped-query attention, Ainslie et al., 2023, arXiv 2305.13245).
 * @param keys, values encodings of the same tokens.
 * @throws InvalidArgumentError where shapes do not fit.
 */
export function attend(
  queries: tf.Tensor4D,
  keys: Encoding,
  values: Encoding,
  options: AttendOptions,
): Partial {
  checkAttend(queries, keys, values, options);
  if (keys.kind !== 'lowRank' && values.kind !== 'lowRank')
    return attendTokens(queries, keys, values, options);
  return tf.tidy(() => {
    const met = inLatentSpace(queries, keys, options.scale);
    const valueLatents = values.kind === 'lowRank' ? values.latents : values;
    const partial = attendTokens(met.queries, met.keys, valueLatents, options);
    return expandPartial(partial, {
      ...(values.kind === 'lowRank' && {basis: values.basis, mean: values.mean}),
      shift: met.shift,
    });
  });
}

function attendTokens(
  queries: tf.Tensor4D,
  keys: StoredKeys,
  values: TokenEncoding,
  options: AttendOptions,
): Partial {
  const {inputs, attributes} = storedSegment(keys, values, options);
  const {window} = options;
  if (window !== undefined) {
    return tf.tidy(() => attendReference({queries, ...inputs}, {...attributes, window}) as Partial);
  }
  return runOp(attendOp, {queries, ...inputs}, attributes) as Partial;
}

/** A segment as kernels take it. */
export interface StoredSegment {
  readonly inputs: SegmentInputs;
  readonly attributes: AttendAttributes;
}

export function storedSegment(
  keys: StoredKeys,
  values: TokenEncoding,
  {tokens, scale, firstQuery, keyRotation}: AttendOptions,
): StoredSegment {
  const stored = storedKeys(keys, tokens, keyRotation);
  const [valueData, valueParams] = dataAndParams(values);
  // assigned and not spread, which took longer than some kernels: this is for each segment of each depth at each token
  const inputs = Object.assign(stored.inputs, {valueData});
  const attributes = Object.assign(stored.attributes, {values: layoutOf(values), tokens, scale});
  if (valueParams !== undefined) Object.assign(inputs, {valueParams});
  if (firstQuery !== undefined) Object.assign(attributes, {firstQuery});
  return {inputs, attributes};
}

/** The tensors of both encodings by role; `Params` only where an encoding has scales. */
export type SegmentInputs = KeyInputs & {valueData: tf.Tensor; valueParams?: tf.Tensor};

export type AttendInputs = SegmentInputs & {queries: tf.Tensor};

export interface AttendAttributes extends KeyAttributes, Visibility {
  readonly values: TokenLayout;
  readonly tokens: number;
  readonly scale: number;
}

export const attendOp = defineOp<AttendInputs, AttendAttributes>({
  name: 'Attend',
  reference: attendReference,
  kernels: {wasm: attendWasm, webgpu: attendWebgpu},
});

/** @throws InvalidArgumentError where queries, keys and values do not fit. */
export function checkAttend(
  queries: tf.Tensor4D,
  keys: Encoding,
  values: Encoding,
  {tokens}: AttendOptions,
): void {
  checkQueries(queries, keys, tokens);
  checkEncoding(values, 'values');
  const {batch, kvHeads} = headsOf(keys);
  const ofValues = headsOf(values);
  if (ofValues.batch !== batch || ofValues.kvHeads !== kvHeads) {
    throw new InvalidArgumentError(
      `values of batch ${ofValues.batch} and ${ofValues.kvHeads} heads do not fit keys of batch ${batch} and ` +
        `${kvHeads} heads: both must be equal.`,
    );
  }
  if (values.kind === 'lowRank' && values.rotate === true) {
    throw new InvalidArgumentError('values.rotate is true, but values have no rotation: leave it out.');
  }
  checkTokens(tokens, capacityOf(values));
}
