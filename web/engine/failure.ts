import type {Failure} from './protocol.js';

const advice =
  'Close other tabs, take a smaller model or a shorter text, or give more depths a smaller policy. ' +
  'What the model had in memory is gone; it is loaded again.';

/** An error as the page shows it. Those of eigenkv say what to do themselves. */
export function failureOf(error: unknown): Failure {
  const name = error instanceof Error ? error.name : 'Error';
  const message = error instanceof Error ? error.message : String(error);
  if (isOutOfMemory(name, message)) {
    return {
      name: 'Out of memory',
      message: `This tab's memory is used up (${message}). ${advice}`,
      outOfMemory: true,
    };
  }
  if (name === 'NotReadableError' || name === 'NotFoundError') {
    return {
      name: 'File not readable',
      message: 'The file was changed, moved or locked since it was chosen; choose it again.',
      outOfMemory: false,
    };
  }
  return {name, message, outOfMemory: false};
}

/** What engines say: a typed array or a heap that cannot grow, tfjs' heap aborting, or memory that was never there. */
function isOutOfMemory(name: string, message: string): boolean {
  return (
    /out of memory|memory access out of bounds|allocation failed|^Aborted\(|cannot enlarge memory/i.test(
      message,
    ) ||
    /OutOfMemory/.test(name) ||
    (name === 'RangeError' && /array (buffer|length)/i.test(message))
  );
}
