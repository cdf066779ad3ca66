import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import type {Spec} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {type AnyFactory, Registry, isSpec} from '../registry.js';
import * as keepers from './index.js';

/** Whatever can be read as a keeper: a keeper, its name, or its name and options. */
export type KeeperLike = Keeper | string | Spec;

export const keeperRegistry = new Registry<Keeper>('keeper', keepers);

/** Returns the names of all registered keepers. */
export function keeperNames(): string[] {
  return keeperRegistry.names;
}

/**
 * Registers a keeper by name. The name is then a policy's, too: `--plan NAME:budget=256,store=integer,bits=4`.
 * @throws InvalidArgumentError if the name is taken.
 */
export function registerKeeper(name: string, factory: AnyFactory<Keeper>): void {
  keeperRegistry.register(name, factory);
}

/**
 * Returns the keeper that a `KeeperLike` stands for.
 * @throws InvalidArgumentError if it cannot be read as a keeper.
 */
export function asKeeper(given: KeeperLike): Keeper {
  if (typeof given === 'string') return keeperRegistry.make({name: given});
  if (!isSpec(given)) {
    throw new InvalidArgumentError(
      `keep = ${shown(given)}; expected a keeper such as heaviest({budget: 256}), its name (${keeperNames().join(', ')}), or its ` +
        'name and options.',
    );
  }
  return isKeeper(given) ? given : keeperRegistry.make(given);
}

/** A spec has only a name and options. So has the keeper `all`, which is therefore made again. */
function isKeeper(given: KeeperLike): given is Keeper {
  return typeof given === 'object' && ('budget' in given || 'score' in given || 'observes' in given);
}

/** The valibot schema of a policy's option `keep`. */
export const keeperOption = v.pipe(
  v.custom<KeeperLike>(() => true),
  v.transform(asKeeper),
);
