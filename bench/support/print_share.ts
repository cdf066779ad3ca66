import type {ProgressOptions} from '../../models/progress.js';

/** An `onProgress` that says on stderr, after each twentieth of a run, how much is done and how long the rest may take. */
export function printShare(): NonNullable<ProgressOptions['onProgress']> {
  const start = performance.now();
  let printed = 0;
  return ({done, total}) => {
    const share = Math.floor((20 * done) / total);
    if (share === printed) return;
    printed = share;
    const left = ((performance.now() - start) / 60_000) * (total / done - 1);
    console.error(`${5 * share} %, ${Math.ceil(left)} min left`);
  };
}
