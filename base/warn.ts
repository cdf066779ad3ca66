/** Called with a sentence for the user: what was assumed, or left out. */
export type Warn = (message: string) => void;

/** Writes to the console, as all warnings of eigenkv do unless their caller says otherwise. */
export const warnOnConsole: Warn = message => console.warn(`eigenkv: ${message}`);
