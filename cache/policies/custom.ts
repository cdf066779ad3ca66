import * as v from 'valibot';
import {
  type Factory,
  type Spec,
  atLeast,
  checkOptions,
  jsonOptions,
  unknownOption,
} from '../../base/options.js';
import type {Keeper, Policy} from '../contract.js';
import {type KeeperLike, keeperOption, keeperRegistry} from '../keepers/as_keeper.js';
import {type StoringOptions, definePolicy, storeEntries} from './define.js';

export interface PolicyOptions extends StoringOptions {
  /** The fewest last tokens that stay exact. Default 32, or as many as the keeper needs the queries of if these are more. */
  readonly recent?: number;
  /** Which tokens stay: a keeper, its name, its text such as `'dropKv:queries=16'`, or its name and options. Default `'all'`. */
  readonly keep?: KeeperLike;
}

const aroundEntries = {...storeEntries, recent: v.optional(atLeast(0))};

/** Combines any keeper with any codec, as the presets do: `policy({keep: heaviest({budget: 256}), store: integer({bits: 4})})`. */
export const policy: Factory<PolicyOptions, Policy> = definePolicy(
  'policy',
  {...aroundEntries, keep: v.optional(keeperOption, 'all')},
  ({sinks, recent, keep, store}) => ({sinks, recent: recent ?? recentOf(keep), keep, store}),
);

const recentOf = ({queries = 0}: Keeper) => Math.max(32, queries);

/** Options of a policy named by its keeper, besides the keeper's own. */
const aroundNames: readonly string[] = Object.keys(aroundEntries);

/** Returns the names of all options of a policy named by its keeper; undefined if no keeper has that name, or if its factory does not list them. */
export function keeperOptionNames(name: string): readonly string[] | undefined {
  const own = keeperRegistry.optionNames(name);
  return own && [...own, ...aroundNames];
}

/**
 * Makes a policy by the name of its keeper, such as `{name: 'heaviest', options: {budget: 256, recent: 64, store: 'float8'}}`. The
 * options `sinks`, `recent` and `store` are those of `policy`; all others are the keeper's.
 *
 * @throws InvalidArgumentError if an option is none of these, or not allowed.
 */
export function policyOfKeeper({name, options = {}}: Spec): Policy {
  const names = keeperOptionNames(name);
  const unknown = names && Object.keys(options).find(key => !names.includes(key));
  if (unknown !== undefined) throw unknownOption(name, unknown, names!);
  const entries = Object.entries(options);
  const around = entries.filter(([key]) => aroundNames.includes(key));
  const own = entries.filter(([key]) => !aroundNames.includes(key));
  const keep = keeperRegistry.make({name, options: Object.fromEntries(own)});
  const checked = checkOptions(name, v.strictObject(aroundEntries), Object.fromEntries(around));
  return {...policy({...checked, keep}), name, options: {...keep.options, ...jsonOptions(checked)}};
}
