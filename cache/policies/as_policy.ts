import {InvalidArgumentError, shown} from '../../base/errors.js';
import type {Spec} from '../../base/options.js';
import type {HeadSizes, Policy} from '../contract.js';
import {keeperRegistry} from '../keepers/as_keeper.js';
import {type AnyFactory, Registry, isSpec} from '../registry.js';
import {policy, policyOfKeeper} from './custom.js';
import * as policies from './index.js';
import {policySpec} from './policy_text.js';

/** A policy as it may be written: itself, its name, the command line's text (`'h2o:heavyBudget=512'`), or its name and options. */
export type PolicyLike = Policy | string | Spec;

const registry = new Registry<Policy>('policy', {...policies, policy});

/** The names of all presets; the name of every keeper makes a policy, too. */
export function policyNames(): string[] {
  return registry.names.filter(name => name !== 'policy');
}

/**
 * Makes a policy by name: a preset's, or a keeper's. Options that are missing have the defaults.
 * @throws InvalidArgumentError if there is none of that name, if it does not take the options, or if something stands beside them.
 */
export function makePolicy(spec: Spec): Policy {
  const isKeepers = isSpec(spec) && !registry.has(spec.name) && keeperRegistry.has(spec.name);
  return isKeepers ? policyOfKeeper(spec) : registry.make(spec);
}

/**
 * Adds a policy of your own, so that plans, saved configs and the command line know it by its name.
 * @throws InvalidArgumentError if the name is taken.
 */
export function registerPolicy(name: string, factory: AnyFactory<Policy>): void {
  if (keeperRegistry.has(name)) {
    throw new InvalidArgumentError(`There is a keeper "${name}" already; give your policy another name.`);
  }
  registry.register(name, factory);
}

/**
 * A policy from whatever can be read as one.
 * @throws InvalidArgumentError if it is none.
 */
export function asPolicy(given: PolicyLike): Policy {
  if (typeof given === 'string') return makePolicy(policySpec(given, name => registry.optionNames(name)));
  if (!isSpec(given) || 'plan' in given) throw noPolicy(given);
  if (!('keep' in given)) return makePolicy(given);
  if (!('store' in given && 'recent' in given && 'sinks' in given)) throw noPolicy(given);
  return given;
}

/** The most tokens that a head holds after a step; undefined if the past grows with the text, or if the budget is in bytes. */
export function tokenBudget({sinks, recent, keep: {budget}}: Policy): number | undefined {
  return typeof budget === 'number' ? sinks + recent + budget : undefined;
}

/** @throws InvalidArgumentError if a policy does not fit heads of these sizes. */
export function checkPolicy({name, keep, store}: Policy, sizes: HeadSizes): void {
  store.check?.(sizes);
  const {budget} = keep;
  if (typeof budget !== 'number' || store.exact === true || budget === 0) return;
  const moves = Math.max(1, Math.ceil((store.firstTokens?.(sizes) ?? 1) / store.moveTokens));
  const least =
    store.blockTokens === 1 && moves === 1
      ? 1
      : Math.max(moves * store.moveTokens, 2 * store.blockTokens - 1);
  if (budget >= least) return;
  throw new InvalidArgumentError(
    `${name}: a budget of ${budget} tokens is too small for ${store.name}, which stores the first ${least} tokens together; give ` +
      'more tokens, or another codec.',
  );
}

function noPolicy(given: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `${shown(given)} is no plan and no policy; expected a policy such as quantized({bits: 8}), its name, a text such as ` +
      '"quantized:bits=8", its name and options such as {name: "quantized", options: {bits: 8}}, a list of policies with one for ' +
      `each depth, or a plan such as bands().${hint(given)}`,
  );
}

const hint = (given: unknown) =>
  typeof given === 'function' ? ' Call it: policies are what these functions return.' : '';
