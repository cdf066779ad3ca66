import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import {withoutUndefined} from '../../base/records.js';
import type {LayerShape} from '../binding/layer_shape.js';
import type {Spec} from '../../base/options.js';
import type {Policy} from '../contract.js';
import type {OpenSnapshot} from './read_snapshot.js';

/** @throws ModelError if a snapshot is of a model with other sizes or weights; the message says what differs. */
export function checkSameModel(
  {description, fingerprint}: OpenSnapshot,
  shapes: readonly LayerShape[],
  modelFingerprint: string | undefined,
): void {
  const saved = description.rows;
  if (saved.length !== shapes.length) {
    throw otherModel(`it has ${saved.length} depths, this model has ${shapes.length}`);
  }
  shapes.forEach((shape, depth) => {
    for (const size of ['heads', 'kvHeads', 'dim', 'dimV', 'headDim'] as const) {
      const [was, is] = [saved[depth]![size], shape[size]];
      if (was !== is) {
        throw otherModel(
          `at depth ${depth} it has ${size} = ${was ?? 'none'}, this model has ${is ?? 'none'}`,
        );
      }
    }
  });
  if (fingerprint !== undefined && modelFingerprint !== undefined && fingerprint !== modelFingerprint) {
    throw otherModel(
      `the fingerprint of its weights is ${fingerprint}, that of this model is ${modelFingerprint}`,
    );
  }
}

/** @throws InvalidArgumentError if a snapshot is of other policies; the message says which, and how they differ. */
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

/** @throws InvalidArgumentError if the tokens of a snapshot are stored by other tables than those that the policies have for the model. */
export function checkSameTables({description}: OpenSnapshot, policies: readonly Policy[]): void {
  for (const [depth, {store}] of policies.entries()) {
    const [saved, given] = [description.tables?.[depth] ?? undefined, store.tables];
    const isStored = description.depths[depth]?.held.some(([name]) => name !== 'sinks' && name !== 'rest');
    if (saved === given || isStored !== true) continue;
    const text = (id: string | undefined) => (id === undefined ? 'no profile' : `the profile ${id}`);
    throw new InvalidArgumentError(
      `This snapshot is of another profile: at depth ${depth} its tokens are stored by ${text(saved)}, and the model has ${text(given)} ` +
        'now. Give the model the profile of then, by await useProfile(model, profile).',
    );
  }
}

function differenceOf(saved: Required<Spec>, given: Required<Spec>): string | undefined {
  if (saved.name !== given.name) return `it has ${saved.name}, the plan has ${given.name}`;
  const names = new Set([...Object.keys(saved.options), ...Object.keys(given.options)]);
  for (const name of names) {
    const [was, is] = [saved.options, given.options].map(options => JSON.stringify(options[name] ?? null));
    if (was !== is) return `it has ${saved.name} with ${name} = ${was!}, the plan has ${is!}`;
  }
  return undefined;
}

function otherModel(difference: string): ModelError {
  return new ModelError(
    `This snapshot is of another model: ${difference}. Restore it with the model that it was saved with.`,
  );
}
