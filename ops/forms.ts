import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from './errors.js';

/**
 * A *form* is one side (the keys, or the values) of a run of tokens as it lies in memory. Codecs make forms; attention
 * reads them directly, tile by tile, so keys and values may be stored in different forms.
 *
 * Every tensor of a form has axes `[batch, kvHeads, rows, columns]`; `rowsOf` says how many tokens one row covers. The
 * row axis may have spare capacity: how many tokens are valid is known to whoever holds the form.
 */
export type Form = DenseForm | IntegerForm;

/** Plain float32 numbers: `data [batch, kvHeads, tokens, dim]`. */
export interface DenseForm {
  readonly kind: 'dense';
  readonly dim: number;
  readonly data: tf.Tensor4D;
}

/**
 * Integer codes of 8, 4 or 2 bits with a scale and a zero point per group: `x ~ (code + zero) * scale`.
 *
 * `codes` int32 `[batch, kvHeads, tokens, ceil(dim * bits / 32)]`: each word holds 32 / bits consecutive channels,
 * channel e of a word at bits `bits * e`. `params` int32, one word a group: the scale as bfloat16 in the upper half, the
 * zero point as a signed integer in the lower. A group is `groupSize` consecutive tokens of one channel
 * (`groupAxis: 'channel'`, params `[batch, kvHeads, tokens / groupSize, dim]`) or `groupSize` consecutive channels of one
 * token (`groupAxis: 'token'`, params `[batch, kvHeads, tokens, ceil(dim / groupSize)]`).
 */
export interface IntegerForm extends IntegerLayout {
  readonly kind: 'integer';
  readonly codes: tf.Tensor4D;
  readonly params: tf.Tensor4D;
}

/** How integer codes are grouped and packed. */
export interface IntegerLayout {
  readonly dim: number;
  readonly bits: 8 | 4 | 2;
  readonly groupAxis: 'channel' | 'token';
  readonly groupSize: number;
}

/** A form without its tensors: what a kernel needs to know to read them. */
export type FormLayout =
  {readonly kind: 'dense'; readonly dim: number} | ({readonly kind: 'integer'} & IntegerLayout);

export function layoutOf(form: Form): FormLayout {
  if (form.kind === 'dense') return {kind: 'dense', dim: form.dim};
  const {kind, dim, bits, groupAxis, groupSize} = form;
  return {kind, dim, bits, groupAxis, groupSize};
}

/** A form's tensors by name, and how many tokens one row of each covers. */
export function tensorsOf(form: Form): {[name: string]: {tensor: tf.Tensor4D; tokensPerRow: number}} {
  switch (form.kind) {
    case 'dense':
      return {data: {tensor: form.data, tokensPerRow: 1}};
    case 'integer':
      return {
        codes: {tensor: form.codes, tokensPerRow: 1},
        params: {tensor: form.params, tokensPerRow: form.groupAxis === 'channel' ? form.groupSize : 1},
      };
  }
}

/** The same form with each of its tensors replaced. */
export function mapTensors(
  form: Form,
  change: (tensor: tf.Tensor4D, name: string, tokensPerRow: number) => tf.Tensor4D,
): Form {
  switch (form.kind) {
    case 'dense':
      return {...form, data: change(form.data, 'data', 1)};
    case 'integer':
      return {
        ...form,
        codes: change(form.codes, 'codes', 1),
        params: change(form.params, 'params', form.groupAxis === 'channel' ? form.groupSize : 1),
      };
  }
}

/** How many tokens fit into a form without growing it. */
export function capacityOf(form: Form): number {
  return Math.min(
    ...Object.values(tensorsOf(form)).map(({tensor, tokensPerRow}) => tensor.shape[2] * tokensPerRow),
  );
}

/** The bytes that a form's tensors take, spare capacity, scales and zero points included. */
export function formBytes(form: Form): number {
  // float32 and int32 are the only dtypes of forms: 4 bytes an element
  return Object.values(tensorsOf(form)).reduce((sum, {tensor}) => sum + tensor.size * 4, 0);
}

/** Checks that a tensor is `[batch, heads, tokens, dim]`. */
export function expectRank4(tensor: tf.Tensor, what: string): void {
  if (tensor.rank !== 4) {
    throw new InvalidArgumentError(
      `${what} has shape [${tensor.shape.join(', ')}]; expected four axes [batch, heads, tokens, dim].`,
    );
  }
}
