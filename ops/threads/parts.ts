import type {ScratchOfThreads} from './pool.js';

/** What of a heap this needs. */
interface Heap {
  readonly threads: number;
  scratch(bytes: number): number;
}

/** Scratch memory of at least `bytes` bytes for each thread, valid as long as the heap's scratch memory is. */
export function scratchOfThreads(heap: Heap, bytes: number): ScratchOfThreads {
  const own = wholeLines(bytes);
  return {address: heap.scratch(heap.threads * own), bytes: own};
}

/** Bytes of a line of the processor's cache. Threads that write to the same one wait for each other. */
export const cacheLine = 64;

/** At least so many bytes, in whole lines of cache. */
export const wholeLines = (bytes: number): number => Math.ceil(bytes / cacheLine) * cacheLine;

/** From where to where a part goes. */
interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * 0 .. count in `parts` ranges of about equal length, or fewer: their ends are multiples of `unit`, but for the last one.
 *
 * @param unit default 1.
 */
export function evenRanges(count: number, parts: number, unit = 1): Range[] {
  const units = Math.ceil(count / unit);
  const some = Math.max(1, Math.min(parts, units));
  const ranges: Range[] = [];
  for (let i = 0, from = 0; i < some; i++) {
    const to = Math.min(count, unit * Math.floor(((i + 1) * units) / some));
    ranges.push({from, to});
    from = to;
  }
  return ranges;
}

/**
 * How many parts work is worth.
 *
 * @param work multiply-adds, or numbers that are read if those take longer.
 * @param each parts of a thread, or more than there can be for as many as possible: if they are independent, a thread that is held up then takes fewer of them. Default 1.
 */
export function partsOf(heap: Heap, work: number, each = 1): number {
  const threads = Math.min(heap.threads, Math.floor(work / splitting.leastWork));
  return threads <= 1 ? 1 : each * threads;
}

/** `leastWork` for each thread takes some ten microseconds, and calling one takes one. Tests split smaller work. */
export const splitting = {leastWork: 100_000};
