import * as tf from '@tensorflow/tfjs';
import {lend, withdraw} from '../../sharing/shared_tensors.js';
import type {SideTransform, TransformProfile, TransformSide} from './profile.js';
import {tablesFor} from './tables.js';
import type {SideWidths, TransformWidths} from './widths.js';

/** The tables of one side of one depth as tensors, float32, the same for all tokens and caches. */
export interface SideTensors {
  readonly widths: SideWidths;
  /** A' transposed, `[batch, kvHeads, channels, dim]`: what `project` takes. */
  readonly analysis: tf.Tensor4D;
  /** B', `[batch, kvHeads, channels, dim]`. */
  readonly basis: tf.Tensor4D;
  /** `[batch, kvHeads, 1, dim]`; absent if it is zero. */
  readonly mean?: tf.Tensor4D;
  /** `[batch, kvHeads, 1, dim]`; absent if it is zero. */
  readonly rotatedMean?: tf.Tensor4D;
}

const tensorsOfProfiles = new WeakMap<TransformProfile, Map<string, SideTensors>>();

/**
 * The tables of one side of one depth, made at their first use and lent to all caches: they live until `disposeProfile`.
 * @param batch texts that are computed together.
 */
export function sideTensors(
  profile: TransformProfile,
  widths: TransformWidths,
  depth: number,
  side: TransformSide,
  batch: number,
): SideTensors {
  const made = tensorsOfProfiles.get(profile) ?? new Map<string, SideTensors>();
  tensorsOfProfiles.set(profile, made);
  const ofSide = widths.depths[depth]![side];
  const key = JSON.stringify([depth, side, batch, ofSide]);
  let tensors = made.get(key);
  if (tensors === undefined || tensors.basis.isDisposed) {
    tensors = makeTensors(profile.depths[depth]![side], ofSide, batch);
    made.set(key, tensors);
  }
  return tensors;
}

/** Frees the tensors that were made of a profile. Caches that hold tokens by it must not be used any more. */
export function disposeProfile(profile: TransformProfile): void {
  for (const {analysis, basis, mean, rotatedMean} of tensorsOfProfiles.get(profile)?.values() ?? []) {
    for (const tensor of [analysis, basis, mean, rotatedMean]) if (tensor !== undefined) withdraw(tensor);
  }
  tensorsOfProfiles.delete(profile);
}

function makeTensors(transform: SideTransform, widths: SideWidths, batch: number): SideTensors {
  const {kvHeads, dim, mean, rotatedMean} = transform;
  const {channels, analysis, synthesis} = tablesFor(transform, widths);
  const lent = (make: () => tf.Tensor): tf.Tensor4D =>
    lend(tf.tidy(() => tf.tile(make(), [batch, 1, 1, 1])) as tf.Tensor4D);
  const vector = (numbers: Float32Array | undefined) =>
    numbers?.some(number => number !== 0) === true
      ? lent(() => tf.tensor4d(numbers, [1, kvHeads, 1, dim]))
      : undefined;
  return {
    widths,
    analysis: lent(() => tf.transpose(tf.tensor4d(analysis, [1, kvHeads, dim, channels]), [0, 1, 3, 2])),
    basis: lent(() => tf.tensor4d(synthesis, [1, kvHeads, channels, dim])),
    mean: vector(mean),
    rotatedMean: vector(rotatedMean),
  };
}
