import type {Ranks} from './allotment.js';
import {errorCurves} from './allotment.js';
import type {FeatureSample, MeasuredErrors} from './feature_sample.js';
import type {Prepared} from './prepare.js';

/** What was done to one depth. Errors are relative: ||X - X'|| / ||X||, Frobenius. */
export interface CompressionRow {
  readonly depth: number;
  readonly keyRank: number;
  readonly valueRank: number;
  /** Of the scores K Q^T before the softmax, as the calibration predicts. */
  readonly keyError: number;
  /** Of V W_O, as the calibration predicts. */
  readonly valueError: number;
  /** On the sample, where there was one. */
  readonly measured?: MeasuredErrors;
}

/** Prediction and measurement side by side, by depth. */
export async function compressionRows(
  {attentions, weights, bases, options}: Prepared,
  ranks: Ranks,
  features: FeatureSample | undefined,
): Promise<CompressionRow[]> {
  const curves = errorCurves(bases);
  const rows: CompressionRow[] = [];
  for (const depth of attentions.keys()) {
    const [keyRank, valueRank] = [ranks.keys[depth]!, ranks.values[depth]!];
    const errorOf = (side: 'keys' | 'values', rank: number) =>
      Math.sqrt(curves.find(curve => curve.depth === depth && curve.side === side)!.errors[rank]!);
    const measured = await features?.errors(
      depth,
      bases[depth]!,
      options.ropeMode,
      {keys: keyRank, values: valueRank},
      weights[depth]!.output,
    );
    rows.push({
      depth,
      keyRank,
      valueRank,
      keyError: errorOf('keys', keyRank),
      valueError: errorOf('values', valueRank),
      measured,
    });
  }
  return rows;
}
