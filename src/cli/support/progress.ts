import {SingleBar} from 'cli-progress';

/** What is shown of a long run. */
export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

const showAfterMs = 2000;

/** The most characters that a bar has between its brackets. */
const widestBar = 40;

/**
 * A bar on stderr, so that stdout can be piped; shown only on a terminal, and only once the run took two seconds. It never hides
 * the cursor nor changes how the terminal wraps, so there is nothing to put back where the process is ended.
 * @param what is going on: `Evaluating`.
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
