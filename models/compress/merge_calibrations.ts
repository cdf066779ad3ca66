import {InvalidArgumentError, ModelError, shown} from '../../base/errors.js';
import {fingerprintOf} from '../../cache/binding/fingerprint.js';
import type {DenseAttention} from '../adapters/index.js';
import type {Calibration} from './calibrate.js';
import {added} from './statistics.js';
import {mergedTransforms} from './transform/statistics.js';

/**
 * The calibration of all texts together.
 * @throws InvalidArgumentError if there is none, or they are of different models.
 */
export function mergeCalibrations(calibrations: readonly Calibration[]): Calibration {
  const [first, ...rest] = calibrations;
  if (first === undefined) {
    throw new InvalidArgumentError('There is no calibration to merge; give one or more.');
  }
  return rest.reduce((sum, next, index) => {
    if (next.fingerprint !== sum.fingerprint) {
      throw new InvalidArgumentError(
        `Calibration ${index + 1} is of the model ${next.fingerprint}, calibration 0 of ${sum.fingerprint}; only those of the ` +
          'same weights add up.',
      );
    }
    const gradients = [sum.gradients, next.gradients].filter(each => each !== undefined);
    const transforms = [sum.transform, next.transform].filter(each => each !== undefined);
    return {
      ...{...together(sum, next), fingerprint: sum.fingerprint},
      ...(gradients.length > 0 && {gradients: gradients.reduce(together)}),
      ...(transforms.length > 0 && {transform: transforms.reduce(mergedTransforms)}),
    };
  }, first);
}

type Summed = Pick<Calibration, 'tokens' | 'depths'>;

const together = (a: Summed, b: Summed): Summed => ({
  tokens: a.tokens + b.tokens,
  depths: a.depths.map((depth, i) => added(depth, b.depths[i]!)),
});

/** @throws InvalidArgumentError if it is not a calibration; ModelError if it is not of these attention layers. */
export async function checkCalibration(
  calibration: Calibration,
  attentions: readonly DenseAttention[],
): Promise<void> {
  const given: unknown = calibration;
  if (typeof given !== 'object' || given === null || !('fingerprint' in given && 'depths' in given)) {
    throw new InvalidArgumentError(
      `compress got ${shown(given)} as a calibration; expected what calibrate or loadCalibration returns.`,
    );
  }
  const fingerprint = await fingerprintOf(attentions.map(({layer}) => layer));
  if (fingerprint === calibration.fingerprint) return;
  throw new ModelError(
    `The calibration is of the model ${calibration.fingerprint}, and this model is ${fingerprint}: its weights differ. ` +
      'Calibrate this model.',
  );
}
