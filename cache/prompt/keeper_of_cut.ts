import {InvalidArgumentError} from '../../base/errors.js';
import type {Keeper} from '../contract.js';
import {type KeeperLike, asKeeper, keeperNames} from '../keepers/as_keeper.js';
import {makePolicy, policyNames} from '../policies/as_policy.js';
import {isSpec} from '../registry.js';

/**
 * Returns the keeper that a prompt is cut by.
 * @throws InvalidArgumentError if it cannot be read as a keeper. The name of a policy, which many know better, is answered by its keeper.
 */
export function keeperOfCut(given: KeeperLike): Keeper {
  try {
    return asKeeper(given);
  } catch (cause) {
    const name = typeof given === 'string' ? given.split(':')[0] : isSpec(given) && given.name;
    if (typeof name !== 'string' || !policyNames().includes(name)) throw cause;
    const {keep} = makePolicy({name});
    const chooses = keep.budget !== undefined && keeperNames().includes(keep.name);
    throw new InvalidArgumentError(
      `compressPrompt: "${name}" is a policy; give ${chooses ? `its keeper, ${keep.name}` : `a keeper: ${keeperNames().join(', ')}`}.`,
      {cause},
    );
  }
}
