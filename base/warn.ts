/** Called with a sentence for the user: what was assumed, or left out. */
export type Warn = (message: string) => void;

/** Writes to the console, as all warnings of eigenkv do unless their caller says otherwise. */
export const warnOnConsole: Warn = message => console.warn(`eigenkv: ${message}`);

/** A warning that says each sentence only once. */
export function once(warn: Warn): Warn {
  const said = new Set<string>();
  return message => {
    if (said.has(message)) return;
    said.add(message);
    warn(message);
  };
}

const ofObjects = new WeakMap<object, Warn>();

/** `warnOnConsole`, each sentence once for an object such as a model. */
export function warnOnceOf(object: object): Warn {
  const warn = ofObjects.get(object) ?? once(warnOnConsole);
  ofObjects.set(object, warn);
  return warn;
}
