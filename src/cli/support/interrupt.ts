import {exitCodes} from './usage_error.js';

let current: {readonly signal: AbortSignal; readonly listener: () => void} | undefined;

/** A signal that ctrl-C aborts; a second ctrl-C ends the process at once. All commands of a process share it. */
export function interruptSignal(): AbortSignal {
  if (current !== undefined && !current.signal.aborted) return current.signal;
  const controller = new AbortController();
  const listener = () => {
    controller.abort();
    process.once('SIGINT', () => {
      if (process.stderr.isTTY) process.stderr.write('\n'); // after what a bar has drawn
      process.exit(exitCodes.interrupted);
    });
  };
  process.once('SIGINT', listener);
  current = {signal: controller.signal, listener};
  return controller.signal;
}

/** Leaves ctrl-C to the caller from now on; `interruptSignal` makes a new signal. */
export function releaseInterrupt(): void {
  if (current !== undefined) process.off('SIGINT', current.listener);
  current = undefined;
}
