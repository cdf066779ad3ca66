import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {capacityOf} from '../../encodings/encoding.js';
import type {LowRankEncoding} from '../../encodings/low_rank.js';
import {tokenKindOf} from '../../encodings/token_kinds.js';
import type {Rebuilding} from '../../encodings/wasm.js';
import type {KernelInputs} from '../../run_op.js';
import {rotateReference} from '../../rotate/reference.js';
import type {KeyAttributes, KeyInputs, KeyRotation, StoredKeys} from './types.js';

// Keys as kernels take them: a token encoding, and, if these are latents of keys stored before their rotation, what rebuilds and
// rotates them. (Latents of keys that need no rotation are attended in their own space: see `attend`.)

export function storedKeys(
  keys: StoredKeys,
  tokens: number,
  rotation: KeyRotation | undefined,
): {inputs: KeyInputs; attributes: KeyAttributes} {
  if (keys.kind !== 'lowRank') {
    const kind = tokenKindOf(keys);
    const [keyData, keyParams] = [kind.data(keys), kind.params(keys)];
    return {inputs: keyParams ? {keyData, keyParams} : {keyData}, attributes: {keys: kind.layout(keys)}};
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
        `keyRotation.positions = ${positions} for ${tokens} tokens; expected an integer >= 0 whose run of tokens ` +
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

/** What kernels need to rebuild keys; undefined if keys are read as they are stored. */
export function rebuildingOf(
  inputs: KernelInputs<KeyInputs>,
  {rotation}: KeyAttributes,
): Rebuilding | undefined {
  if (rotation === undefined) return undefined;
  const {keyBasis, keyMean, cos, sin, positions} = inputs;
  if (keyBasis === undefined || cos === undefined || sin === undefined) return undefined;
  return {basis: keyBasis, mean: keyMean, cos, sin, positions, ...rotation};
}

/** Keys `from .. from + count`, dense: float32 `[batch, kvHeads, count, dim]`, in plain tfjs ops. */
export function readKeysReference(
  {keyData, keyParams, keyBasis, keyMean, cos, sin, positions}: KeyInputs,
  {keys, rotation}: KeyAttributes,
  from: number,
  count: number,
): tf.Tensor4D {
  const stored = tokenKindOf(keys).decodeReference(keyData, keyParams, keys, from, count);
  if (rotation === undefined || keyBasis === undefined || cos === undefined || sin === undefined)
    return stored;
  const product: tf.Tensor4D = tf.matMul(stored, keyBasis);
  const rebuilt: tf.Tensor4D = keyMean === undefined ? product : tf.add(product, keyMean);
  if (positions === undefined) {
    const run = (table: tf.Tensor2D) =>
      tf.slice(table, [rotation.firstPosition + from, 0], [count, table.shape[1]]);
    return rotateReference({x: rebuilt, cos: run(cos), sin: run(sin)}, rotation);
  }
  // every head has positions of its own: rotate all tokens of all heads as one run
  const [batch, kvHeads, , dim] = rebuilt.shape;
  const ofHeads = tf.reshape(positions, [batch, kvHeads, positions.shape[2]!]);
  const flat = tf.reshape(tf.slice(ofHeads, [0, 0, from], [batch, kvHeads, count]), [-1]);
  const asRun = tf.reshape<tf.Rank.R4>(rebuilt, [1, 1, flat.size, dim]);
  const [runCos, runSin] = [tf.gather(cos, flat), tf.gather(sin, flat)];
  return tf.reshape(rotateReference({x: asRun, cos: runCos, sin: runSin}, rotation), rebuilt.shape);
}
