import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import type {Spec} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {type AnyFactory, Registry, isSpec} from '../registry.js';
import * as keepers from './index.js';

/** A keeper as it may be written: itself, its name, or its name and options. */
export type KeeperLike = Keeper | string | Spec;

export const keeperRegistry = new Registry<Keeper>('keeper', keepers);

/** The names of all keepers. */
export function keeperNames(): string[] {
  return keeperRegistry.names;
}

/**
 * Adds a keeper of your own. Its name is that of a policy, too: `--plan NAME:budget=256,store=integer,bits=4`.
 * @throws InvalidArgumentError if the name is taken.
 */
export function registerKeeper(name: string, factory: AnyFactory<Keeper>): void {
  keeperRegistry.register(name, factory);
}

/** @throws InvalidArgumentError if it is no keeper. */
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

/** A spec has nothing but a name and options; a keeper that keeps all has no more, either, and is made again. */
function isKeeper(given: KeeperLike): given is Keeper {
  return typeof given === 'object' && ('budget' in given || 'score' in given || 'observes' in given);
}

/** Which tokens stay, as an option of a policy. */
export const keeperOption = v.pipe(
  v.custom<KeeperLike>(() => true),
  v.transform(asKeeper),
);
