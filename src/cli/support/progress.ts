import {SingleBar} from 'cli-progress';

/** Shows the progress of a long run. */
export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

/** Runs a function with a progress bar, which is removed when the function returns or throws. */
export async function withBar<Result>(
  what: string,
  run: (onProgress: (progress: {readonly done: number; readonly total: number}) => void) => Promise<Result>,
): Promise<Result> {
  const bar = progressBar(what);
  try {
    return await run(({done, total}) => bar.update(done, total));
  } finally {
    bar.stop();
  }
}

const showAfterMs = 2000;

/** The most characters between the brackets of a bar. */
const widestBar = 40;

/**
 * A bar on stderr, so that stdout can be piped. It shows only on a terminal, and only after two seconds. It neither hides the cursor
 * nor changes how the terminal wraps, so nothing has to be restored if the process is killed.
 * @param what the activity, such as `Evaluating`.
 */
export function progressBar(what: string): Progress {
  if (!process.stderr.isTTY || process.env['TERM'] === 'dumb') {
    return {update: () => undefined, stop: () => undefined};
  }
  const start = performance.now();
  let bar: SingleBar | undefined;
  return {
    update(done, total) {
      if (bar === undefined && done < total && performance.now() - start > showAfterMs) {
        const room = (process.stderr.columns || 80) - `${what} [] 100 %`.length - 1;
        bar = new SingleBar({
          format: `${what} [{bar}] {percentage} %`,
          barsize: Math.max(1, Math.min(widestBar, room)),
          barCompleteChar: '=',
          barIncompleteChar: ' ',
          stream: process.stderr,
          hideCursor: false,
          linewrap: true,
          clearOnComplete: true,
        });
        bar.start(total, done);
      }
      bar?.setTotal(total);
      bar?.update(done);
    },
    stop() {
      bar?.stop();
    },
  };
}
