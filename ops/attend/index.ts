import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../errors.js';
import {capacityOf, expectRank4, layoutOf, type Form, type FormLayout} from '../forms.js';
import {defineOp, runOp} from '../run_op.js';
import {attendReference} from './reference.js';
import {attendWasm} from './wasm.js';

/**
 * Attention over one segment before normalisation, as one float32 tensor `[batch, heads, tokens, dimV + 2]`: the weighted
 * sum of the values, then the largest score `m`, then the sum of `exp(score - m)`. One tensor, since WebGPU programs
 * have one output. Partials of several segments merge exactly: see `mergePartials`.
 */
export type Partial = tf.Tensor4D;

/** What attention over one segment needs to know beyond its tensors. */
export interface AttendOptions {
  /** How many of the segment's tokens are valid. */
  readonly tokens: number;
  /** Factor of the scores; always 1 / sqrt(dim of the uncompressed head). */
  readonly scale: number;
  /** Causal attention: the index, within the segment, of query 0's own token. Query i sees tokens 0 .. firstQuery + i. */
  readonly firstQuery?: number;
}

/**
 * Scaled dot-product attention of queries over a stored segment, tile by tile, in the segment's own form:
 *
 *     s_ij = scale * q_i . k_j        m_i = max_j s_ij
 *     partial_i = [ sum_j exp(s_ij - m_i) v_j ,  m_i ,  sum_j exp(s_ij - m_i) ]
 *
 * Memory beyond the result is O(tile), never O(queries x tokens); a compressed segment is never decoded as a whole. A
 * query that sees no token gets `[0, -Infinity, 0]`. FlashAttention (Dao et al., 2022, arXiv 2205.14135) is the scheme.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`; `heads` is a multiple of `kvHeads`, and query head h reads
 *   key head floor(h / (heads / kvHeads)) (grouped-query attention, Ainslie et al., 2023, arXiv 2305.13245).
 * @param keys, values forms of the same tokens.
 * @throws InvalidArgumentError where shapes do not fit.
 */
export function attend(queries: tf.Tensor4D, keys: Form, values: Form, options: AttendOptions): Partial {
  checkAttend(queries, keys, values, options);
  const inputs = {queries, ...formInputs('key', keys), ...formInputs('value', values)};
  const attributes: AttendAttributes = {keys: layoutOf(keys), values: layoutOf(values), ...options};
  return runOp(attendOp, inputs, attributes) as Partial;
}

/** The tensors of both forms by role; `Params` only where a form has scales. */
export type AttendInputs = {
  queries: tf.Tensor;
  keyData: tf.Tensor;
  keyParams?: tf.Tensor;
  valueData: tf.Tensor;
  valueParams?: tf.Tensor;
};

export interface AttendAttributes extends AttendOptions {
  readonly keys: FormLayout;
  readonly values: FormLayout;
}

export const attendOp = defineOp<AttendInputs, AttendAttributes>({
  name: 'Attend',
  reference: attendReference,
  kernels: {wasm: attendWasm},
});

function formInputs<Role extends 'key' | 'value'>(role: Role, form: Form) {
  const [data, params] = form.kind === 'dense' ? [form.data, undefined] : [form.codes, form.params];
  return {[`${role}Data`]: data, ...(params && {[`${role}Params`]: params})} as Role extends 'key'
    ? {keyData: tf.Tensor; keyParams?: tf.Tensor}
    : {valueData: tf.Tensor; valueParams?: tf.Tensor};
}

function checkAttend(queries: tf.Tensor4D, keys: Form, values: Form, {tokens}: AttendOptions): void {
  expectRank4(queries, 'queries');
  const [batch, heads, , dim] = queries.shape;
  const keyData = keys.kind === 'dense' ? keys.data : keys.codes;
  const valueData = values.kind === 'dense' ? values.data : values.codes;
  const [keyBatch, kvHeads] = keyData.shape;
  if (batch !== keyBatch || heads % kvHeads !== 0 || dim !== keys.dim) {
    throw new InvalidArgumentError(
      `queries [${queries.shape.join(', ')}] do not fit keys of batch ${keyBatch}, ${kvHeads} heads and dim ${keys.dim}: ` +
        'batch and dim must be equal and the number of query heads a multiple of the key heads.',
    );
  }
  if (valueData.shape[0] !== keyBatch || valueData.shape[1] !== kvHeads) {
    throw new InvalidArgumentError(
      `values [${valueData.shape.join(', ')}] do not fit keys [${keyData.shape.join(', ')}]: batch and heads must be equal.`,
    );
  }
  const capacity = Math.min(capacityOf(keys), capacityOf(values));
  if (!Number.isInteger(tokens) || tokens < 0 || tokens > capacity) {
    throw new InvalidArgumentError(
      `tokens = ${tokens}; expected an integer from 0 to the segment's ${capacity}.`,
    );
  }
}
