import {InvalidArgumentError, shown} from '../../base/errors.js';
import type {Budget, Policy} from '../contract.js';
import {bytesOf, bytesPerToken, isBudget} from '../keepers/budget.js';
import {type Past, segmentsOf, tokensHeld} from '../past/past.js';
import {refits} from '../past/query_window.js';

/** A share of the tokens held (above 0, below 1), a whole number of tokens per key head, or bytes of one text at one depth. */
export type PromptSize = Budget;

/** @throws InvalidArgumentError if it is not a size. */
export function checkSize(size: PromptSize): void {
  if ((typeof size === 'number' && size > 0 && size < 1) || isBudget(size, 1)) return;
  throw new InvalidArgumentError(
    `compressPrompt: size = ${shown(size)}; expected a share of the tokens above 0 and below 1, a whole number of tokens >= 1, or bytes such ` +
      'as "64kB".',
  );
}

/** Returns a size in tokens per key head, which may be more than there are. */
export function tokensOfSize(size: PromptSize, past: Past, policy: Policy): number {
  if (typeof size === 'number' && size < 1) return Math.round(size * tokensHeld(past));
  const bytes = bytesOf(size);
  return bytes === undefined ? (size as number) : tokensOfBytes(bytes, past, policy);
}

/** The tokens that take so many bytes: the first and the newest ones exactly, the others as they are stored now. */
function tokensOfBytes(bytes: number, past: Past, {sinks, recent, keep}: Policy): number {
  const exact = bytesPerToken(past.recent, {scored: false, biased: false}).perToken;
  const stored = segmentsOf(past).filter(
    segment => segment !== past.recent && segment !== past.held['sinks'],
  );
  const costs = (stored.length === 0 ? [past.recent] : stored).map(segment =>
    bytesPerToken(segment, {scored: segment.scores !== undefined, biased: refits(keep)}),
  );
  const shared = costs.reduce((sum, cost) => sum + cost.shared, 0);
  const left = bytes - shared - exact * (sinks + recent);
  return sinks + recent + Math.floor(left / Math.max(...costs.map(({perToken}) => perToken)));
}
