import * as tf from '@tensorflow/tfjs';
import {type IntegerEncoding, scaleOf, zeroOf} from '../../../ops/encodings/integer.js';
import type {Basis} from '../../../ops/encodings/low_rank.js';
import {hostNumbers} from '../../../ops/host_numbers.js';
import {quantizeNumbers} from '../../../ops/integer/index.js';
import {inverses} from '../../../ops/linalg/inverse.js';
import {multiply64} from '../../../ops/linalg/matrix64.js';
import {coefficients} from '../../../ops/low_rank/coefficients.js';
import {lend, withdraw} from '../../sharing/shared_tensors.js';
import type {SideTransform, TransformProfile, TransformSide} from './profile.js';
import {channelsOf, mixedAnalysis, mixedSynthesis} from './tables.js';
import type {SideWidths, TransformWidths} from './widths.js';

/** The tables of one side of one depth as tensors, the same for all tokens and caches. */
export interface SideTensors {
  /**
   * B', `[batch, kvHeads, channels, dim]`: codes of 8 bits, whose inverse A' is. (A' B' = I holds for what is stored, so that rounding only
   * turns the channels a little: a KL divergence of .012 at 2.3 bits stays .012.) Float32 if the head's dim is no multiple of 8.
   */
  readonly basis: Basis;
  /**
   * A' transposed, float32 `[batch, kvHeads, channels, dim]`: what `project` takes. Absent on wasm if B' has an inverse: it is solved for
   * channels there, which takes a little longer and no memory.
   */
  readonly analysis?: tf.Tensor4D;
  /** `[batch, kvHeads, 1, dim]`; absent if it is zero. */
  readonly mean?: tf.Tensor4D;
  /** `[batch, kvHeads, 1, dim]`; absent if it is zero. */
  readonly rotatedMean?: tf.Tensor4D;
}

interface Made {
  readonly tables: SideTensors;
  /** All of its tensors. */
  readonly lent: readonly tf.Tensor[];
}

const tensorsOfProfiles = new WeakMap<TransformProfile, Map<string, Made>>();

/**
 * The tables of one side of one depth, made at their first use and lent to all caches: they live until `disposeProfile`.
 * @param widths which channels are mixed with one another: those of a head of the same width.
 * @param batch texts that are computed together.
 */
export function sideTensors(
  profile: TransformProfile,
  widths: TransformWidths,
  depth: number,
  side: TransformSide,
  batch: number,
): SideTensors {
  const ofProfile = tensorsOfProfiles.get(profile) ?? new Map<string, Made>();
  tensorsOfProfiles.set(profile, ofProfile);
  const ofSide = widths.depths[depth]![side];
  const key = JSON.stringify([tf.getBackend(), depth, side, batch, ofSide]);
  let made = ofProfile.get(key);
  if (made === undefined || made.lent[0]!.isDisposed) {
    made = makeTensors(profile.depths[depth]![side], ofSide, batch);
    ofProfile.set(key, made);
  }
  return made.tables;
}

/** Frees the tensors that were made of a profile. Caches that hold tokens by it must not be used any more. */
export function disposeProfile(profile: TransformProfile): void {
  for (const {lent} of tensorsOfProfiles.get(profile)?.values() ?? []) lent.forEach(withdraw);
  tensorsOfProfiles.delete(profile);
}

function makeTensors(transform: SideTransform, widths: SideWidths, batch: number): Made {
  const {kvHeads, dim, mean, rotatedMean} = transform;
  const channels = channelsOf(transform);
  const all: tf.Tensor[] = [];
  const lent = (make: () => tf.Tensor): tf.Tensor4D => {
    const tensor = lend(tf.tidy(make) as tf.Tensor4D);
    all.push(tensor);
    return tensor;
  };
  const ofBatch = (x: tf.Tensor): tf.Tensor => tf.tile(x, [batch, 1, 1, 1]);
  // repeated on the host: tfjs' tile moves int32 through float32 on webgpu, which loses codes
  const ofCodes = (codes: Int32Array) =>
    lent(() => {
      const repeated = new Int32Array(batch * codes.length);
      for (let text = 0; text < batch; text++) repeated.set(codes, text * codes.length);
      return tf.tensor4d(repeated, [batch, kvHeads, dim, codes.length / kvHeads / dim], 'int32');
    });
  const vector = (numbers: Float32Array | undefined) =>
    numbers?.some(number => number !== 0) === true
      ? lent(() => ofBatch(tf.tensor4d(numbers, [1, kvHeads, 1, dim])))
      : undefined;
  const transposed = (analysis: Float32Array) =>
    lent(() => ofBatch(tf.transpose(tf.tensor4d(analysis, [1, kvHeads, dim, channels]), [0, 1, 3, 2])));
  const rows = mixedSynthesis(transform, widths);
  const rest = {mean: vector(mean), rotatedMean: vector(rotatedMean)};
  const coded = channels === dim ? codedRows(rows, kvHeads, dim) : undefined;
  if (coded === undefined) {
    const basis = lent(() => ofBatch(tf.tensor4d(rows, [1, kvHeads, channels, dim])));
    return {tables: {...rest, basis, analysis: transposed(mixedAnalysis(transform, widths))}, lent: all};
  }
  const {codes, params, inverse} = coded;
  const basis: IntegerEncoding = {
    ...{kind: 'integer', ...codesOfRows, dim, groupSize: dim},
    codes: ofCodes(codes),
    params: ofCodes(params),
  };
  const isSolved = tf.getBackend() === 'wasm';
  return {tables: {...rest, basis, ...(!isSolved && {analysis: transposed(inverse)})}, lent: all};
}

const codesOfRows = {bits: 8, groupAxis: 'token'} as const;

/**
 * Square matrices in codes of 8 bits, and the inverse of what they stand for; undefined if rounding changes too much of them, as it does if
 * a head hardly varies in some direction.
 */
function codedRows(
  rows: Float32Array,
  kvHeads: number,
  dim: number,
): {codes: Int32Array; params: Int32Array; inverse: Float32Array} | undefined {
  const options = {...codesOfRows, dim, groupSize: dim, symmetric: false};
  const {codes, params} = quantizeNumbers(rows, [1, kvHeads, dim, dim], options);
  const inverse = inversesOf(decoded(codes, params, dim), kvHeads, dim);
  if (inverse === undefined) return undefined;
  for (let head = 0; head < kvHeads; head++) {
    const part = (of: Float32Array) => of.subarray(head * dim * dim, (head + 1) * dim * dim);
    const product = multiply64(part(rows), part(inverse), dim, dim, dim);
    if (product.some((number, at) => !(Math.abs(number - (at % (dim + 1) === 0 ? 1 : 0)) <= mostTurned))) {
      return undefined;
    }
  }
  return {codes, params, inverse};
}

/** How far the channels of rounded tables may be from those meant: a matrix element, 0.15 at most for SmolLM2. */
const mostTurned = 0.5;

function inversesOf(matrices: Float32Array, count: number, dim: number): Float32Array | undefined {
  if (tf.getBackend() !== 'wasm') return inverses(matrices, count, dim);
  return tf.tidy(() => {
    const identity = tf.tile(tf.reshape(tf.eye(dim), [1, 1, dim, dim]), [1, count, 1, 1]);
    const solved = coefficients(identity as tf.Tensor4D, tf.tensor4d(matrices, [1, count, dim, dim]));
    return Float32Array.from(hostNumbers(solved));
  });
}

/** What codes of 8 bits stand for, rows of `dim` with a parameter each. */
function decoded(codes: Int32Array, params: Int32Array, dim: number): Float32Array {
  const bytes = new Uint8Array(codes.buffer);
  const rowBytes = bytes.length / params.length;
  const out = new Float32Array(params.length * dim);
  for (const [row, word] of params.entries()) {
    const [zero, scale] = [zeroOf(word), scaleOf(word)];
    for (let i = 0; i < dim; i++) out[row * dim + i] = (bytes[row * rowBytes + i]! + zero) * scale;
  }
  return out;
}
