import type {Policy} from '../../cache/contract.js';

/** How a policy that uses attention scores chooses tokens, by its documentation. */
export interface EvictionRule {
  readonly statistic: 'mass' | 'uses' | 'lastUse';
  /** The lowest probability at which a token counts as used. */
  readonly threshold: number;
  /** The most tokens that a head keeps in addition to the `recentBudget` newest ones; the first `sinks` among them always. */
  readonly budget: number;
  readonly recentBudget: number;
  readonly sinks: number;
  /** What a token is worth, by its score, its position and the tokens that came in. */
  readonly worth: (score: number, position: number, seen: number) => number;
}

/** The rule of a policy by its name and options; undefined if it does not use attention scores. */
export function evictionRuleOf({name, options}: Pick<Policy, 'name' | 'options'>): EvictionRule | undefined {
  const number = (key: string) => Number(options[key]);
  if (name === 'h2o') {
    return {
      ...{statistic: 'mass', threshold: 0},
      ...{budget: number('heavyBudget'), recentBudget: number('recentBudget'), sinks: number('sinks')},
      worth: (score, position, seen) => (options['normalize'] === true ? score / (seen - position) : score),
    };
  }
  if (name !== 'lru' && name !== 'lfu') return undefined;
  const size = number('maxCacheSize');
  const recentBudget = Math.ceil(size / 16);
  return {
    statistic: name === 'lru' ? 'lastUse' : 'uses',
    threshold: number('threshold'),
    ...{budget: size - recentBudget, recentBudget, sinks: Math.min(number('sinks'), size - recentBudget - 1)},
    // ties evict the oldest; the last use is counted from the newest position
    worth: (score, position, seen) => (name === 'lru' ? score - seen : score) + position / seen,
  };
}
