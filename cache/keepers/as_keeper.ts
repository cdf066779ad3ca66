import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {type Spec, atLeast, checkOptions} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {Registry, besideName, isSpec} from '../registry.js';
import {specOfText} from '../spec_text.js';
import {budgetOf} from './budget.js';
import * as keepers from './index.js';
import {refitOption} from './options.js';

/** Whatever can be read as a keeper: a keeper, its name, its text (`'dropKv:queries=16'`), or its name and options. */
export type KeeperLike = Keeper | string | Spec;

export const keeperRegistry = new Registry<Keeper>('keeper', keepers);

/** Returns the names of all registered keepers. */
export function keeperNames(): string[] {
  return keeperRegistry.names;
}

/** What plain JavaScript may get wrong in a keeper of its own. */
const parts = {
  budget: v.optional(budgetOf(0)),
  observes: v.optional(
    v.variant(
      'statistic',
      [
        v.strictObject({statistic: v.literal('mass')}),
        v.strictObject({
          statistic: v.picklist(['uses', 'lastUse']),
          threshold: v.number('expected a probability, from 0 to 1'),
        }),
      ],
      'expected {statistic: "mass"}, {statistic: "uses", threshold} or {statistic: "lastUse", threshold}',
    ),
  ),
  queries: v.optional(atLeast(1)),
  refit: v.optional(refitOption),
  score: v.optional(v.function('expected a function from candidates to a score for each')),
};

/**
 * Returns the keeper that a `KeeperLike` stands for.
 * @throws InvalidArgumentError if it cannot be read as a keeper, or if a part of it is not allowed.
 */
export function asKeeper(given: KeeperLike): Keeper {
  const keeper = keeperOf(given);
  const {budget, observes, queries, refit, score} = keeper;
  checkOptions(`the keeper ${keeper.name}`, v.strictObject(parts), {budget, observes, queries, refit, score});
  return keeper;
}

function keeperOf(given: KeeperLike): Keeper {
  if (typeof given === 'string') return keeperRegistry.make(specOfText(given));
  if (!isSpec(given)) {
    throw new InvalidArgumentError(
      `keep = ${shown(given)}; expected a keeper such as heaviest({budget: 256}), its name (${keeperNames().join(', ')}), a text such ` +
        'as "heaviest:budget=256", or its name and options.',
    );
  }
  if (isKeeper(given)) return given;
  const part = Object.keys(given).find(key => key in parts);
  if (part !== undefined && keeperRegistry.has(given.name)) throw besideName(given, part);
  return keeperRegistry.make(given);
}

/**
 * A keeper has a score. One that drops the oldest tokens has none, but a limit beside its options; a name whose keepers do score, with options
 * beside it, is no such one. (`all` has a name and options only, as a spec, and is made again.)
 */
function isKeeper(given: Keeper | Spec): given is Keeper {
  if ('score' in given && given.score !== undefined) return true;
  const {name, options} = given;
  if (options === undefined || !['budget', 'observes', 'queries'].some(part => part in given)) return false;
  return !keeperRegistry.has(name) || keeperRegistry.make({name, options}).score === undefined;
}

/** The valibot schema of a policy's option `keep`. */
export const keeperOption = v.pipe(
  v.custom<KeeperLike>(() => true),
  v.transform(asKeeper),
);
