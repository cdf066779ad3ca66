/**
 * How threads talk: one block of shared memory beside the heap. The caller writes a job, that is a kernel and the arguments of each of its
 * parts, then how many parts there are. Whoever brings `left` down by one runs the part of that index, and brings `unfinished` down
 * by one afterwards. Everything about a job is read after taking a part of it, and a job is written only once no part of the former one is
 * unfinished: so what a thread read of `left` in a former job does no harm.
 */
export const control = {
  /** Words (int32), in lines of cache of their own where several threads write. */
  words: {
    /** Parts that nobody has taken; `stopped` ends a thread. Threads sleep on it while it is 0. */
    left: 0,
    /** Parts that are not finished. The caller sleeps on it. */
    unfinished: 16,
    /** Threads that sleep. */
    sleeping: 32,
    /** 1 while the caller sleeps. */
    callerSleeps: 48,
    /** 1 + the index of a part that trapped; 0 if none did. */
    trapped: 64,
    /** Index of the kernel among the exports of the module. */
    kernel: 80,
    argumentCount: 81,
    /** Which argument is the address of scratch memory; -1 if none is. */
    scratchArgument: 82,
  },
  /** Numbers (float64): where the scratch memory of the first thread is, and how many bytes each one has. */
  numbers: {scratch: 48, scratchBytes: 49},
  /** Numbers: the arguments of the first part. Each part has `partNumbers`, the last one for the result. */
  parts: 56,
  partNumbers: 24,
  mostParts: 64,
} as const;

/** In `left`: the end. */
export const stopped = -1;

export const controlBytes = 8 * (control.parts + control.mostParts * control.partNumbers);
