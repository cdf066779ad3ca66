import type {Options} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {asKeeper, keeperNames} from '../keepers/as_keeper.js';
import {snapKv} from '../keepers/snap_kv.js';
import {asPlan} from '../plans/as_plan.js';
import {policyText} from '../policies/policy_text.js';

/**
 * A plan that asks for all that a keeper looks at, its own options included, and evicts nothing: its text, or what to write for a keeper that no
 * text makes so.
 */
export function askingPlan(keep: Keeper): string {
  const {name, options = {}, queries, observes, refit = false, budget} = keep as Unlisted; // plain JavaScript may list no options
  if ((observes !== undefined || queries !== undefined) && keeperNames().includes(name)) {
    const asked = 'budget' in options ? {...options, budget: null} : options;
    const text = policyText({name, options: asked}, usualOptions(name));
    if (asksFor(keep, text)) return `'${text}'`;
  }
  if (observes !== undefined) {
    return budget === undefined ? 'policy({keep: keeper})' : 'policy({keep: {...keeper, budget: undefined}})';
  }
  const {options: usual} = snapKv();
  const asked = {...usual, budget: null, refit, ...(queries !== undefined && {queries})};
  return `'${policyText({name: 'snapKv', options: asked}, usual)}'`;
}

type Unlisted = Omit<Keeper, 'options'> & Partial<Pick<Keeper, 'options'>>;

/** The options of a keeper by default; none if it has no defaults. */
function usualOptions(name: string): Options {
  try {
    return asKeeper(name).options;
  } catch {
    return {};
  }
}

/** Whether a text makes such a keeper without a budget: factories of users may know no `budget: null`. */
function asksFor(keep: Keeper, text: string): boolean {
  const looksAt = ({observes, queries, refit}: Keeper) => JSON.stringify([observes, queries, refit]);
  try {
    const made = asPlan(text).policyFor(0, 1).keep;
    return made.budget === undefined && looksAt(asKeeper(made)) === looksAt(keep);
  } catch {
    return false;
  }
}
