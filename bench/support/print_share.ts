import type {ProgressOptions} from '../../models/progress.js';

type Progress = Parameters<NonNullable<ProgressOptions['onProgress']>>[0];

/** An `onProgress` that says on stderr, after each twentieth of a run, how much is done and how long the rest may take. */
export function printShare(): NonNullable<ProgressOptions['onProgress']> {
  const start = performance.now();
  let printed = 0;
  return progress => {
    const share = Math.floor((20 * progress.done) / progress.total);
    if (share === printed) return;
    printed = share;
    console.error(`${5 * share} %, ${timeLeft(progress, (performance.now() - start) / 1000)}`);
  };
}

/** "12 min left": how long the rest of a run takes at the pace of its first `seconds`. */
export function timeLeft({done, total}: Progress, seconds: number): string {
  return `${Math.ceil((seconds / 60) * (total / done - 1))} min left`;
}
