import * as v from 'valibot';
import {InvalidArgumentError, didYouMean, shown} from '../../base/errors.js';
import {type Spec, atLeast, checkOptions} from '../../base/options.js';
import type {HeadSizes, Keeper, Policy} from '../contract.js';
import {asKeeper, keeperRegistry} from '../keepers/as_keeper.js';
import {type AnyFactory, Registry, isSpec} from '../registry.js';
import {expectRefittable} from '../past/refit.js';
import {keeperOptionNames, policy, policyOfKeeper} from './custom.js';
import {readEntries} from './define.js';
import * as policies from './index.js';
import {policySpec} from './policy_text.js';

/** Whatever can be read as a policy: a policy, its name, its text (`'h2o:heavyBudget=512'`), or its name and options. */
export type PolicyLike = Policy | string | Spec;

/** What plain JavaScript may get wrong in a policy of its own, besides its keeper. */
const partEntries = {sinks: atLeast(0), recent: atLeast(0), ...readEntries};

const registry = new Registry<Policy>('policy', {...policies, policy});

/** Returns the names of all registered presets. Keepers' names make policies, too: see `keeperNames`. */
export function policyNames(): string[] {
  return registry.names.filter(name => name !== 'policy');
}

/**
 * Returns the names of the options of a policy that a preset or a keeper names; undefined if neither has that name, or if its factory does not
 * list them.
 */
export function policyOptionNames(name: string): readonly string[] | undefined {
  return registry.optionNames(name) ?? keeperOptionNames(name);
}

/**
 * Makes a policy by the name of a preset or a keeper. Missing options have their defaults.
 * @throws InvalidArgumentError if no preset or keeper has that name, if it does not accept the options, or if options stand outside
 *   `options`.
 */
export function makePolicy(spec: Spec): Policy {
  if (!isSpec(spec) || registry.has(spec.name)) return registry.make(spec);
  if (keeperRegistry.has(spec.name)) return policyOfKeeper(spec);
  const names = [...registry.names, ...keeperRegistry.names];
  throw new InvalidArgumentError(
    `There is no policy "${spec.name}"; there are ${registry.names.join(', ')}, and those of keepers: ${keeperRegistry.names.join(', ')}.` +
      didYouMean(spec.name, names),
  );
}

/**
 * Registers a keeper by name. The name is then a policy's, too: `--plan NAME:budget=256,store=integer,bits=4`.
 * @throws InvalidArgumentError if the name is taken, by a policy either, or cannot stand in a plan's text.
 */
export function registerKeeper(name: string, factory: AnyFactory<Keeper>): void {
  if (registry.has(name)) {
    throw new InvalidArgumentError(`There is already a policy "${name}"; give your keeper another name.`);
  }
  keeperRegistry.register(name, factory);
}

/**
 * Registers a policy, so that plans, saved configs and the command line know it by its name.
 * @throws InvalidArgumentError if the name is taken.
 */
export function registerPolicy(name: string, factory: AnyFactory<Policy>): void {
  if (keeperRegistry.has(name)) {
    throw new InvalidArgumentError(`There is already a keeper "${name}"; give your policy another name.`);
  }
  registry.register(name, factory);
}

/**
 * Returns the policy that a `PolicyLike` stands for.
 * @throws InvalidArgumentError if it cannot be read as a policy.
 */
export function asPolicy(given: PolicyLike): Policy {
  if (typeof given === 'string') return makePolicy(policySpec(given, policyOptionNames));
  if (!isSpec(given) || 'plan' in given) throw noPolicy(given);
  if (!('keep' in given)) return makePolicy(given);
  if (!('store' in given && 'recent' in given && 'sinks' in given)) throw noPolicy(given);
  checkOptions(`the policy ${given.name}`, v.strictObject(partEntries), {
    sinks: given.sinks,
    recent: given.recent,
    skipValues: given.skipValues,
  });
  asKeeper(given.keep);
  return given;
}

/**
 * Returns the most tokens that a head holds after a step, sinks and recent tokens included; undefined if the past grows with the text
 * or the budget is in bytes.
 */
export function tokenBudget({sinks, recent, keep: {budget}}: Policy): number | undefined {
  return typeof budget === 'number' ? sinks + recent + budget : undefined;
}

/** @throws InvalidArgumentError if a policy does not fit heads of these sizes, or if its parts do not fit each other. */
export function checkPolicy(policy: Policy, sizes: HeadSizes): void {
  const {name, keep, store} = policy;
  store.check?.(sizes, keep);
  expectRefittable(policy);
  const {budget} = keep;
  if (typeof budget !== 'number' || store.exact === true || budget === 0) return;
  const moves = Math.max(1, Math.ceil((store.firstTokens?.(sizes) ?? 1) / store.moveTokens));
  const least =
    store.blockTokens === 1 && moves === 1
      ? 1
      : Math.max(moves * store.moveTokens, 2 * store.blockTokens - 1);
  if (budget >= least) return;
  throw new InvalidArgumentError(
    `${name}: a budget of ${budget} tokens is too small for ${store.name}, which stores the first ${least} tokens together; give a ` +
      'larger budget or another codec.',
  );
}

function noPolicy(given: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `${shown(given)} is neither a plan nor a policy; expected a policy such as quantized({bits: 8}), its name, a text such as ` +
      '"quantized:bits=8", its name and options such as {name: "quantized", options: {bits: 8}}, a list of policies with one for ' +
      `each depth, or a plan such as bands().${hint(given)}`,
  );
}

const hint = (given: unknown) =>
  typeof given === 'function' ? ' Call it: these functions return policies.' : '';
