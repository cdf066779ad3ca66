import * as tf from '@tensorflow/tfjs';
import type {Rebuilding} from '../../backends/wasm_encodings.js';
import {readTokensReference} from '../../encodings/decode_reference.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {
  capacityOf,
  layoutOf,
  type LowRankEncoding,
  type TokenEncoding,
  type TokenLayout,
} from '../../encodings/encoding.js';
import {rotateReference} from '../../rotate/reference.js';

// Keys as kernels take them: an encoding of single tokens, and, where these are latents of keys stored before their rotation,
// what rebuilds and rotates them. (Latents of keys that need no rotation are met in their own space: see `attend`.)

/** The rotary embedding of keys that were stored before it; a `LowRankEncoding` with `rotate` needs one. */
export interface KeyRotation {
  /** float32 `[positions, pairs]`: row p holds the angles of position p. */
  readonly cos: tf.Tensor2D;
  readonly sin: tf.Tensor2D;
  /** Which channels make a pair: (i, i + pairs) or (2i, 2i + 1). Default false: the former. */
  readonly interleaved?: boolean;
  /**
   * The position of each of the segment's tokens: the first of a run without gaps, or int32 `[batch, kvHeads, rows]` or
   * `[batch, kvHeads, rows, 1]`, rows at least the segment's tokens.
   */
  readonly positions: number | tf.Tensor;
}

/** Keys that a kernel meets as keys of the queries' dim. */
export type StoredKeys = TokenEncoding | (LowRankEncoding & {readonly rotate: true});

export type KeyInputs = {
  keyData: tf.Tensor;
  keyParams?: tf.Tensor;
  keyBasis?: tf.Tensor;
  keyMean?: tf.Tensor;
  cos?: tf.Tensor;
  sin?: tf.Tensor;
  positions?: tf.Tensor;
};

export interface KeyAttributes {
  readonly keys: TokenLayout;
  readonly rotation?: {readonly interleaved: boolean; readonly firstPosition: number};
}

type KeyInfos = {[Name in keyof KeyInputs]: tf.TensorInfo};

export function storedKeys(
  keys: StoredKeys,
  tokens: number,
  rotation: KeyRotation | undefined,
): {inputs: KeyInputs; attributes: KeyAttributes} {
  if (keys.kind !== 'lowRank') {
    const [keyData, keyParams] = dataAndParams(keys);
    return {inputs: keyParams ? {keyData, keyParams} : {keyData}, attributes: {keys: layoutOf(keys)}};
  }
  if (rotation === undefined) {
    throw new InvalidArgumentError(
      'These keys were stored before their rotation (rotate: true), so attention over them needs keyRotation: give the ' +
        "rotation's tables and the tokens' positions.",
    );
  }
  checkRotation(keys, tokens, rotation);
  const {cos, sin, positions, interleaved = false} = rotation;
  const latents = storedKeys(keys.latents, tokens, undefined);
  return {
    inputs: {
      ...latents.inputs,
      keyBasis: keys.basis,
      keyMean: keys.mean,
      cos,
      sin,
      ...(typeof positions !== 'number' && {positions}),
    },
    attributes: {
      ...latents.attributes,
      rotation: {interleaved, firstPosition: typeof positions === 'number' ? positions : 0},
    },
  };
}

/** The tensors of an encoding of single tokens: its numbers or codes, and its scales where it has any. */
export function dataAndParams(encoding: TokenEncoding): [data: tf.Tensor4D, params: tf.Tensor4D | undefined] {
  switch (encoding.kind) {
    case 'dense':
      return [encoding.data, undefined];
    case 'integer':
      return [encoding.codes, encoding.params];
    case 'float8':
      return [encoding.codes, encoding.scales];
  }
}

function checkRotation(keys: LowRankEncoding, tokens: number, {cos, sin, positions}: KeyRotation): void {
  const [rows, pairs] = cos.shape;
  if (pairs < 1 || 2 * pairs > keys.dim || sin.shape.join() !== cos.shape.join()) {
    throw new InvalidArgumentError(
      `keyRotation has cos [${cos.shape.join(', ')}] and sin [${sin.shape.join(', ')}] for keys of dim ${keys.dim}; ` +
        'expected [positions, pairs] both, with one pair at least and at most dim / 2 pairs.',
    );
  }
  if (typeof positions === 'number') {
    if (!Number.isInteger(positions) || positions < 0 || positions + tokens > rows) {
      throw new InvalidArgumentError(
        `keyRotation.positions = ${positions} for ${tokens} tokens; expected an integer from 0 on whose run of tokens ` +
          `ends within the ${rows} positions of the tables.`,
      );
    }
    return;
  }
  const [batch, kvHeads] = keys.basis.shape;
  const [positionBatch, positionHeads, positionRows = 0] = positions.shape;
  const fits = positionBatch === batch && positionHeads === kvHeads && positionRows >= tokens;
  if (!fits || positions.size !== batch * kvHeads * positionRows || positions.dtype !== 'int32') {
    throw new InvalidArgumentError(
      `keyRotation.positions is ${positions.dtype} [${positions.shape.join(', ')}]; expected int32 ` +
        `[${batch}, ${kvHeads}, rows] with at least ${tokens} of the segment's ${capacityOf(keys)} rows.`,
    );
  }
}

/** The rebuilding of keys for the kernels of the wasm backend; nothing where keys are stored as they are. */
export function rebuildingOf(inputs: KeyInfos, {rotation}: KeyAttributes): Rebuilding | undefined {
  if (rotation === undefined) return undefined;
  const {keyBasis, keyMean, cos, sin, positions} = inputs;
  if (keyBasis === undefined || cos === undefined || sin === undefined) return undefined;
  return {basis: keyBasis, mean: keyMean, cos, sin, positions, ...rotation};
}

/** Keys `from .. from + count`, dense: float32 `[batch, kvHeads, count, dim]`, in plain tfjs ops. */
export function readKeysReference(
  inputs: KeyInputs,
  attributes: KeyAttributes,
  from: number,
  count: number,
): tf.Tensor {
  const stored = readTokensReference(inputs.keyData, inputs.keyParams, attributes.keys, from, count);
  const rebuilding = rebuildingOf(inputs, attributes);
  if (rebuilding === undefined) return stored;
  const {keyBasis, keyMean, cos, sin, positions} = inputs;
  const rebuilt = tf.matMul(stored, keyBasis!);
  const keys = keyMean === undefined ? rebuilt : tf.add(rebuilt, keyMean);
  const {interleaved, firstPosition} = rebuilding;
  const pairs = cos!.shape[1]!;
  if (positions === undefined) {
    const run = (table: tf.Tensor) => tf.slice(table, [firstPosition + from, 0], [count, pairs]);
    return rotateReference({x: keys, cos: run(cos!), sin: run(sin!)}, {interleaved});
  }
  // every head has positions of its own: rotate all tokens of all heads as one run
  const [batch, kvHeads, rows] = positions.shape as [number, number, number];
  const ofHeads = tf.reshape(positions, [batch, kvHeads, rows]);
  const flat = tf.reshape(tf.slice(ofHeads, [0, 0, from], [batch, kvHeads, count]), [-1]);
  const run = (table: tf.Tensor) => tf.gather(table, flat);
  const asRun = tf.reshape(keys, [1, 1, flat.size, keys.shape[3]!]);
  const rotated = rotateReference({x: asRun, cos: run(cos!), sin: run(sin!)}, {interleaved});
  return tf.reshape(rotated, keys.shape);
}
