import {SingleBar} from 'cli-progress';

/** What is shown of a long run. */
export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

const showAfterMs = 2000;

/**
 * A bar on stderr, so that stdout can be piped; shown only on a terminal, and only once the run took two seconds.
 * @param what is going on: `Evaluating`.
 */
export function progressBar(what: string): Progress {
  if (!process.stderr.isTTY) return {update: () => undefined, stop: () => undefined};
  const start = performance.now();
  let bar: SingleBar | undefined;
  return {
    update(done, total) {
      if (bar === undefined && done < total && performance.now() - start > showAfterMs) {
        bar = new SingleBar({
          format: `${what} [{bar}] {percentage} %`,
          stream: process.stderr,
          hideCursor: true,
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
