import {fixed, percent} from '../../../base/units.js';
import {driftLimits} from '../../../cache/codecs/transform_profile/drift.js';
import type {DriftSummary} from './drift_summary.js';

/** Says how far what is stored is from the calibration, with a warning if it is too far. */
export function driftText({
  keys,
  values,
  hasLeft,
  scaleShift,
  saturated,
  expectedSaturated,
}: DriftSummary): string {
  const saturation = Number.isNaN(saturated)
    ? ''
    : `; ${percent(saturated)} of the codes are extreme, ${percent(expectedSaturated)} expected`;
  const numbers =
    `drift of keys ${fixed(keys, 2)} (${driftLimits.keys} allowed), of values ${fixed(values, 2)} (${driftLimits.values}); token scales ` +
    `${fixed(scaleShift, 1)} deviations away${saturation}`;
  return hasLeft
    ? `WARNING: what is stored has left the calibrated statistics (${numbers}). Predictions do not hold here: calibrate on texts like this one, or give more bytes.`
    : `What is stored is within the calibrated statistics (${numbers}).`;
}
