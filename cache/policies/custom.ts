import * as v from 'valibot';
import {type Factory, type Spec, atLeast, checkOptions, jsonOptions} from '../../base/options.js';
import type {Policy} from '../contract.js';
import {type KeeperLike, keeperOption, keeperRegistry} from '../keepers/as_keeper.js';
import {type StoreOptions, definePolicy, storeEntries} from './define.js';

export interface PolicyOptions extends StoreOptions {
  /** Last tokens that stay exact, at the least. Default 32. */
  readonly recent?: number;
  /** Which tokens stay: a keeper, its name, or its name and options. Default: all. */
  readonly keep?: KeeperLike;
}

const aroundEntries = {...storeEntries, recent: v.optional(atLeast(0), 32)};

/** Any keeper with any codec: what the presets are made of. */
export const policy: Factory<PolicyOptions, Policy> = definePolicy(
  'policy',
  {...aroundEntries, keep: v.optional(keeperOption, 'all')},
  ({sinks, recent, keep, store}) => ({sinks, recent, keep, store}),
);

/** What a policy that is called by its keeper's name takes beside the keeper's own options. */
export const aroundNames = Object.keys(aroundEntries);

/**
 * A policy by the name of its keeper, `{name: 'heaviest', options: {budget: 256, recent: 64, store: 'float8'}}`: options that the
 * keeper does not take are those of `policy`.
 */
export function policyOfKeeper({name, options = {}}: Spec): Policy {
  const entries = Object.entries(options);
  const around = entries.filter(([key]) => aroundNames.includes(key));
  const own = entries.filter(([key]) => !aroundNames.includes(key));
  const keep = keeperRegistry.make({name, options: Object.fromEntries(own)});
  const checked = checkOptions(name, v.strictObject(aroundEntries), Object.fromEntries(around));
  return {...policy({...checked, keep}), name, options: {...keep.options, ...jsonOptions(checked)}};
}
