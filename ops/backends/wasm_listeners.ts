const events = ['uncaughtException', 'unhandledRejection'] as const;

/** The two functions of Emscripten, as they are or minified: `function (reason) { throw reason; }`, with a test before it or without. */
const rethrows =
  /^function\s*\((\w+)\)\s*\{\s*(if\s*\(!\(\1 instanceof \w+\)\)\s*)?\{?\s*throw \1;?\s*\}?\s*\}$/;

/**
 * Starts tfjs' wasm module without the process listeners that Emscripten adds in Node. They throw every uncaught error of the program
 * again from tfjs' script, so that Node prints a line of that script, tens of kilobytes long, before the error. Without them Node
 * prints the error alone, and ends the program as before.
 *
 * Listeners of others stay, even if they were added meanwhile: one is removed if it is new and its text is Emscripten's.
 */
export async function withoutRethrowing<Result>(start: () => Promise<Result>): Promise<Result> {
  const before = events.map(event => new Set<unknown>(process.rawListeners(event)));
  try {
    return await start();
  } finally {
    for (const [index, event] of events.entries()) {
      for (const listener of process.rawListeners(event)) {
        if (!before[index]!.has(listener) && rethrows.test(String(listener))) {
          process.removeListener(event, listener as () => void);
        }
      }
    }
  }
}
