import {exitCodes} from './usage_error.js';

let current: AbortSignal | undefined;

/** A signal that ctrl-C aborts; a second ctrl-C ends the process at once. All commands of a process share it. */
export function interruptSignal(): AbortSignal {
  if (current !== undefined && !current.aborted) return current;
  const controller = new AbortController();
  process.once('SIGINT', () => {
    controller.abort();
    process.once('SIGINT', () => {
      if (process.stderr.isTTY) process.stderr.write('\n'); // after what a bar has drawn
      process.exit(exitCodes.interrupted);
    });
  });
  current = controller.signal;
  return current;
}
