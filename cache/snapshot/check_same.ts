import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import {withoutUndefined} from '../../base/records.js';
import type {LayerShape} from '../binding/layer_shape.js';
import type {Spec} from '../../base/options.js';
import type {OpenSnapshot} from './read_snapshot.js';

/** @throws ModelError where a snapshot is of a model of other sizes or other weights; it says what differs. */
export function checkSameModel(
  {description, fingerprint}: OpenSnapshot,
  rows: readonly LayerShape[],
  modelFingerprint: string | undefined,
): void {
  const saved = description.rows;
  if (saved.length !== rows.length) {
    throw otherModel(`it has ${saved.length} depths, and this model ${rows.length}`);
  }
  rows.forEach((row, depth) => {
    for (const size of ['heads', 'kvHeads', 'dim', 'dimV', 'headDim'] as const) {
      const [was, is] = [saved[depth]![size], row[size]];
      if (was !== is) {
        throw otherModel(
          `at depth ${depth} it has ${size} = ${was ?? 'none'}, and this model ${is ?? 'none'}`,
        );
      }
    }
  });
  if (fingerprint !== undefined && modelFingerprint !== undefined && fingerprint !== modelFingerprint) {
    throw otherModel(
      `the fingerprint of its weights is ${fingerprint}, and that of this model ${modelFingerprint}`,
    );
  }
}

/** @throws InvalidArgumentError where a snapshot is of other policies; it says which, and how they differ. */
export function checkSamePolicies({description}: OpenSnapshot, policies: readonly Spec[]): void {
  description.policies.forEach((saved, depth) => {
    const {name, options = {}} = policies[depth]!;
    const difference = differenceOf(saved, {name, options: withoutUndefined(options)});
    if (difference === undefined) return;
    throw new InvalidArgumentError(
      `This snapshot is of another plan: at depth ${depth} ${difference}. Restore it without a plan, and call setPlan.`,
    );
  });
}

function differenceOf(saved: Required<Spec>, given: Required<Spec>): string | undefined {
  if (saved.name !== given.name) return `it has ${saved.name}, and the plan ${given.name}`;
  const names = new Set([...Object.keys(saved.options), ...Object.keys(given.options)]);
  for (const name of names) {
    const [was, is] = [saved.options, given.options].map(options => JSON.stringify(options[name] ?? null));
    if (was !== is) return `it has ${saved.name} with ${name} = ${was!}, and the plan ${is!}`;
  }
  return undefined;
}

function otherModel(difference: string): ModelError {
  return new ModelError(
    `This snapshot is of another model: ${difference}. Restore it with the model that it is of.`,
  );
}
