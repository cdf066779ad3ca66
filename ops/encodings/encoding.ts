import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';

/**
 * A *form* is one side (the keys, or the values) of a run of tokens as it lies in memory. Codecs make forms; attention
 * reads them directly, tile by tile, so keys and values may be stored in different forms.
 *
 * Every tensor of a form has axes `[batch, kvHeads, rows, columns]`; `tensorsOf` says how many tokens one row covers. The
 * row axis may have spare capacity: how many tokens are valid is known to whoever holds the form.
 */
export type Form = TokenForm | LowRankForm;

/** A form in which every token's numbers stand for themselves. */
export type TokenForm = DenseForm | IntegerForm | Float8Form;

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

/**
 * Eight-bit floating point numbers (Micikevicius et al., 2022, arXiv 2209.05433) with one scale a token:
 * `x ~ decode(code) * scale`.
 *
 * `codes` int32 `[batch, kvHeads, tokens, ceil(dim / 4)]`: four codes a word, channel e of a word at bits `8 * e`. `scales`
 * float32 `[batch, kvHeads, tokens, 1]`: the token's largest magnitude divided by the format's largest number.
 */
export interface Float8Form extends Float8Layout {
  readonly kind: 'float8';
  readonly codes: tf.Tensor4D;
  readonly scales: tf.Tensor4D;
}

/**
 * `e4m3`: three bits of mantissa, largest number 448, no infinity, NaN is 0x7f and 0xff. `e5m2`: two bits of mantissa,
 * largest number 57344, infinities and NaN as in IEEE 754.
 */
export interface Float8Layout {
  readonly dim: number;
  readonly format: 'e4m3' | 'e5m2';
}

/**
 * Tokens as coefficients (latents) of a basis that all tokens of a head share: `x ~ latents . basis + mean`.
 *
 * `latents` is any form of single tokens, of dim `rank`; `basis` float32 `[batch, kvHeads, rank, dim]`; `mean` float32
 * `[batch, kvHeads, 1, dim]`. Attention runs in the latents' space (q . (z B) = (q B^T) . z) and never rebuilds tokens,
 * except where `rotate` says that these are keys stored before their rotary embedding: those are rebuilt and rotated at
 * their own positions, tile by tile (Eigen Attention, arXiv 2408.05646).
 */
export interface LowRankForm {
  readonly kind: 'lowRank';
  readonly dim: number;
  readonly rank: number;
  readonly latents: TokenForm;
  readonly basis: tf.Tensor4D;
  readonly mean?: tf.Tensor4D;
  readonly rotate?: boolean;
}

/** A form of single tokens without its tensors: what a kernel needs to know to read them. */
export type TokenLayout =
  | {readonly kind: 'dense'; readonly dim: number}
  | ({readonly kind: 'integer'} & IntegerLayout)
  | ({readonly kind: 'float8'} & Float8Layout);

export function layoutOf(form: TokenForm): TokenLayout {
  switch (form.kind) {
    case 'dense':
      return {kind: 'dense', dim: form.dim};
    case 'integer': {
      const {kind, dim, bits, groupAxis, groupSize} = form;
      return {kind, dim, bits, groupAxis, groupSize};
    }
    case 'float8':
      return {kind: 'float8', dim: form.dim, format: form.format};
  }
}

/** One tensor of a form. */
export interface FormTensor {
  readonly tensor: tf.Tensor4D;
  /** How many tokens one row covers; Infinity where all tokens share the tensor, as they do a basis. */
  readonly tokensPerRow: number;
}

/** A form's tensors by name. The names of a low-rank form's latents begin with `latents.`. */
export function tensorsOf(form: Form): {[name: string]: FormTensor} {
  const tensors: {[name: string]: FormTensor} = {};
  mapTensors(form, (tensor, name, tokensPerRow) => {
    tensors[name] = {tensor, tokensPerRow};
    return tensor;
  });
  return tensors;
}

/** The same form with each of its tensors replaced; `tokensPerRow` is Infinity for those that all tokens share. */
export function mapTensors<F extends Form>(
  form: F,
  change: (tensor: tf.Tensor4D, name: string, tokensPerRow: number) => tf.Tensor4D,
): F;
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
    case 'float8':
      return {...form, codes: change(form.codes, 'codes', 1), scales: change(form.scales, 'scales', 1)};
    case 'lowRank':
      return {
        ...form,
        latents: mapTensors(form.latents, (tensor, name, tokensPerRow) =>
          change(tensor, `latents.${name}`, tokensPerRow),
        ),
        basis: change(form.basis, 'basis', Infinity),
        ...(form.mean && {mean: change(form.mean, 'mean', Infinity)}),
      };
  }
}

/** The batch and the number of key heads of a form. */
export function headsOf(form: Form): {batch: number; kvHeads: number} {
  switch (form.kind) {
    case 'dense':
      return {batch: form.data.shape[0], kvHeads: form.data.shape[1]};
    case 'integer':
    case 'float8':
      return {batch: form.codes.shape[0], kvHeads: form.codes.shape[1]};
    case 'lowRank':
      return headsOf(form.latents);
  }
}

/** How many tokens fit into a form without growing it. */
export function capacityOf(form: Form): number {
  switch (form.kind) {
    case 'dense':
      return form.data.shape[2];
    case 'integer': {
      const perRow = form.groupAxis === 'channel' ? form.groupSize : 1;
      return Math.min(form.codes.shape[2], form.params.shape[2] * perRow);
    }
    case 'float8':
      return Math.min(form.codes.shape[2], form.scales.shape[2]);
    case 'lowRank':
      return capacityOf(form.latents);
  }
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
