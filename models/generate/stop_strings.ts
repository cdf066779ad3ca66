/** Passes text on until a stop string is complete, and never a part of a stop string. */
export interface StopFilter {
  /** Returns the text that is certain now; a possible beginning of a stop string is held back. */
  push(text: string): string;
  /** Returns what was held back, after the last text. */
  flush(): string;
  /** Whether a stop string came: all text from its start on is dropped. */
  readonly stopped: boolean;
}

/**
 * A filter that ends at the stop string that is complete first (of two that end together, the longer one). The result does not
 * depend on how the text is cut into pieces.
 */
export function stopFilter(stops: readonly string[]): StopFilter {
  let held = '';
  let stopped = false;
  return {
    push(text) {
      if (stopped) return '';
      held += text;
      const start = stopStart(held, stops);
      stopped = start !== undefined;
      const certain = start ?? held.length - possibleStart(held, stops);
      const out = held.slice(0, certain);
      held = stopped ? '' : held.slice(certain);
      return out;
    },
    flush() {
      const out = held;
      held = '';
      return out;
    },
    get stopped() {
      return stopped;
    },
  };
}

/** Where the stop string that ends first begins. */
function stopStart(text: string, stops: readonly string[]): number | undefined {
  let first: {start: number; end: number} | undefined;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    const end = start + stop.length;
    if (start < 0) continue;
    if (first === undefined || end < first.end || (end === first.end && start < first.start)) {
      first = {start, end};
    }
  }
  return first?.start;
}

/** Length of the longest end of the text that a stop string begins with. */
function possibleStart(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (stop.startsWith(text.slice(text.length - length))) longest = length;
    }
  }
  return longest;
}
