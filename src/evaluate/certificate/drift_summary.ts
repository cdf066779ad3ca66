import type {CalibrationDrift} from '../../../cache/codecs/transform_profile/drift.js';

/** A `CalibrationDrift` without its heads. */
export type DriftSummary = Omit<CalibrationDrift, 'heads'>;

export function driftSummary(drift: CalibrationDrift | undefined): DriftSummary | undefined {
  if (drift === undefined) return undefined;
  const {heads: _, ...summary} = drift;
  return summary;
}
