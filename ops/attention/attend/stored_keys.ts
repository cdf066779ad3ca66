import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {decodeTile, floatBasis} from '../../encodings/decode.js';
import {headsOf} from '../../encodings/encoding.js';
import {tokenKindOf} from '../../encodings/token_kinds.js';
import type {Rebuilding} from '../../encodings/wasm.js';
import type {KernelInputs} from '../../run_op.js';
import {rotateReference} from '../../rotate/reference.js';
import {type Scoring, scoresOf} from '../scoring.js';
import {type RelativeBias, relativeBiases} from '../relative_bias.js';
import {anglesOfTokens} from './mean_angles.js';
import type {KeyAttributes, KeyInputs, KeyRotation, StoredKeys} from './types.js';

// Keys as kernels take them: a token encoding, and, if these are latents of keys stored before their rotation, what rebuilds and
// rotates them. (Latents of keys that need no rotation are attended in their own space: see `attend`.)

/** @param hasRotatedMean whether the keys have one: kernels take its `meanAngles` as well. */
export function storedKeys(
  keys: StoredKeys,
  tokens: number,
  rotation: KeyRotation | undefined,
  hasRotatedMean = false,
): {inputs: KeyInputs; attributes: KeyAttributes} {
  if (keys.kind !== 'lowRank') {
    const kind = tokenKindOf(keys);
    const [keyData, keyParams] = [kind.data(keys), kind.params(keys)];
    const stored = {
      inputs: keyParams ? {keyData, keyParams} : {keyData},
      attributes: {keys: kind.layout(keys)},
    };
    if (!hasRotatedMean || rotation === undefined) return stored;
    checkRotation(headsOf(keys), tokens, rotation);
    const rotated = rotatedInputs(rotation);
    return {
      inputs: {...stored.inputs, ...rotated.inputs},
      attributes: {...stored.attributes, ...rotated.attributes},
    };
  }
  if (rotation === undefined) throw missingRotation('were stored before their rotation (rotate: true)');
  checkRotation(headsOf(keys), tokens, rotation, keys.dim);
  const latents = storedKeys(keys.latents, tokens, undefined);
  const rotated = rotatedInputs(rotation);
  return {
    inputs: {...latents.inputs, keyBasis: floatBasis(keys.basis), keyMean: keys.mean, ...rotated.inputs},
    attributes: {...latents.attributes, ...rotated.attributes},
  };
}

function rotatedInputs({cos, sin, positions, interleaved = false}: KeyRotation) {
  return {
    inputs: {cos, sin, ...(typeof positions !== 'number' && {positions})},
    attributes: {rotation: {interleaved, firstPosition: typeof positions === 'number' ? positions : 0}},
  };
}

export function missingRotation(reason: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `These keys ${reason}, so attention over them needs keyRotation: give the rotation's tables and the tokens' positions.`,
  );
}

function checkRotation(
  {batch, kvHeads}: {readonly batch: number; readonly kvHeads: number},
  tokens: number,
  {cos, sin, positions}: KeyRotation,
  dim = Infinity,
): void {
  const [rows, pairs] = cos.shape;
  if (pairs < 1 || 2 * pairs > dim || sin.shape.join() !== cos.shape.join()) {
    throw new InvalidArgumentError(
      `keyRotation has cos [${cos.shape.join(', ')}] and sin [${sin.shape.join(', ')}] for keys of dim ${dim}; ` +
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
  const [positionBatch, positionHeads, positionRows = 0] = positions.shape;
  const fits = positionBatch === batch && positionHeads === kvHeads && positionRows >= tokens;
  if (!fits || positions.size !== batch * kvHeads * positionRows || positions.dtype !== 'int32') {
    throw new InvalidArgumentError(
      `keyRotation.positions is ${positions.dtype} [${positions.shape.join(', ')}]; expected int32 ` +
        `[${batch}, ${kvHeads}, rows] with at least ${tokens} rows.`,
    );
  }
}

/** What kernels need to rebuild keys or to add a rotated mean; undefined if keys are read as they are stored. */
export function rebuildingOf(
  inputs: KernelInputs<KeyInputs>,
  {rotation}: KeyAttributes,
): Rebuilding | undefined {
  if (rotation === undefined) return undefined;
  const {keyBasis, keyMean, cos, sin, positions} = inputs;
  if (cos === undefined || sin === undefined) return undefined;
  return {basis: keyBasis, mean: keyMean, cos, sin, positions, ...rotation};
}

/**
 * Scores of queries `[batch, kvHeads, rows, dim]` and keys `from .. from + count`, scaled, capped and with their biases, in plain tfjs ops.
 * @returns float32 `[batch, kvHeads, rows, count]`.
 */
export function scoresReference(
  queries: tf.Tensor4D,
  inputs: KeyInputs,
  attributes: KeyAttributes & Pick<Scoring, 'scale' | 'softCap'>,
  from: number,
  count: number,
): tf.Tensor4D {
  const {meanAngles: angles, bias, shift} = inputs;
  const [batch, kvHeads, rows] = queries.shape;
  let scores: tf.Tensor4D = tf.matMul(
    queries,
    readKeysReference(inputs, attributes, from, count),
    false,
    true,
  );
  if (angles !== undefined) {
    const grouped = tf.reshape(angles, [batch, kvHeads, rows, angles.shape[3]]);
    const tables = anglesOfTokens(inputs, attributes, from, count);
    scores = tf.add(scores, tf.matMul(grouped, tables, false, true));
  }
  return scoresOf(
    scores,
    attributes,
    bias && biasOf(bias, from, count),
    shift && tf.reshape(shift, [batch, kvHeads, rows, 1]),
  );
}

/**
 * All that is added to the scores of some queries and the tokens `from .. from + count`, broadcasting over `[batch, kvHeads, rows, count]`, where
 * rows are queries of one head if there are relative biases.
 */
export function biasesOf(
  {bias, relative}: {readonly bias?: tf.Tensor4D | undefined; readonly relative?: RelativeBias | undefined},
  rows: number,
  from: number,
  count: number,
): tf.Tensor4D | undefined {
  const ofTokens = bias && biasOf(bias, from, count);
  if (relative === undefined) return ofTokens;
  const ofDistances = relativeBiases(relative, rows, from, count);
  return ofTokens === undefined ? ofDistances : tf.add<tf.Tensor4D>(ofDistances, ofTokens);
}

/** The biases of tokens `from .. from + count`, for each row of queries alike: float32 `[batch, kvHeads, 1, count]`. */
function biasOf(bias: tf.Tensor4D, from: number, count: number): tf.Tensor4D {
  const [batch, kvHeads] = bias.shape;
  return tf.reshape(tf.slice(bias, [0, 0, from, 0], [-1, -1, count, -1]), [batch, kvHeads, 1, count]);
}

/** Keys `from .. from + count`, dense: float32 `[batch, kvHeads, count, dim]`, in plain tfjs ops. */
function readKeysReference(
  {keyData, keyParams, keyBasis, keyMean, cos, sin, positions}: KeyInputs,
  {keys, rotation}: KeyAttributes,
  from: number,
  count: number,
): tf.Tensor4D {
  const stored = decodeTile(keys, keyData, keyParams, from, count);
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
