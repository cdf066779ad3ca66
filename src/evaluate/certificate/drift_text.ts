import {fixed, percent} from '../../../base/units.js';
import {driftLimit} from '../../../cache/codecs/transform_profile/drift.js';
import type {DriftSummary} from './drift_summary.js';

/** Says how far a text is from the calibration, with a warning if it is too far. */
export function driftText({drift, hasLeft, scaleShift, saturated, expectedSaturated}: DriftSummary): string {
  const saturation = Number.isNaN(saturated)
    ? ''
    : `, extreme codes ${percent(saturated)} (${percent(expectedSaturated)} expected)`;
  const numbers = `drift ${fixed(drift, 2)} of ${driftLimit} allowed, token scales ${fixed(scaleShift, 1)} deviations away${saturation}`;
  return hasLeft
    ? `WARNING: what is stored has left the calibrated statistics (${numbers}). Predictions do not hold here: calibrate on texts like this one, or give more bytes.`
    : `This text is within the calibrated statistics: ${numbers}.`;
}
