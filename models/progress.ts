import * as v from 'valibot';
import {callback} from '../base/options.js';
import {waitingEvents} from './generate/event_loop.js';

/** How a long run says how far it is, and how it is ended early. */
export interface ProgressOptions {
  /** Called after each part with what is done and what there is to do, in the unit that the function names. */
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
  /** Ends the run with the signal's reason: an AbortError, unless the caller gave another one. */
  readonly signal?: AbortSignal;
}

/** `ProgressOptions`, for the schemas of the functions that take them. */
export const progressEntries = {
  onProgress: v.optional(callback<NonNullable<ProgressOptions['onProgress']>>()),
  signal: v.optional(
    v.custom<AbortSignal>(
      given => typeof given === 'object' && given !== null && 'throwIfAborted' in given,
      'expected an AbortSignal',
    ),
  ),
};

/**
 * Counts what is done of `total`. Call the function that it returns after each part: it reports, lets waiting events in (a progress
 * bar, an abort), and throws the signal's reason.
 *
 * @throws the signal's reason if it is aborted already.
 */
export function countProgress(
  total: number,
  {onProgress, signal}: ProgressOptions,
): (fresh: number) => Promise<void> {
  signal?.throwIfAborted();
  let done = 0;
  return async fresh => {
    done += fresh;
    onProgress?.({done, total});
    await waitingEvents();
    signal?.throwIfAborted();
  };
}
