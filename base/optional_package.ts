import {BackendError} from './errors.js';

/**
 * Imports a package that may not be installed, by a name that bundlers do not follow: native code, and packages that most pages
 * do not need.
 *
 * @param otherwise what to do without it, for the error message.
 * @returns what the package exports; undefined if it is not installed.
 * @throws BackendError if it is installed and fails to load.
 */
export async function importOptional(name: string, otherwise?: string): Promise<unknown> {
  try {
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
  } catch (error) {
    throwUnlessMissing(error, [name], otherwise);
    return undefined;
  }
}

/**
 * For imports that bundlers follow. They are written out inside `try`, since bundlers accept a missing package there.
 *
 * @param names the packages that were imported.
 * @throws BackendError if the error is not that one of them is missing.
 */
export function throwUnlessMissing(
  error: unknown,
  names: readonly string[],
  otherwise = 'use another backend',
): void {
  if (names.some(name => isMissing(error, name))) return;
  const reason = error instanceof Error ? firstLine(error.message) : `${String(error)}.`;
  throw new BackendError(
    `${names.join(' or ')} is installed but does not load: ${reason} Install it again, or ${otherwise}.`,
    {cause: error},
  );
}

/** The first line of a message, as a sentence. */
function firstLine(message: string): string {
  return `${message.trim().split('\n')[0]!.trim().replace(/\.$/, '')}.`;
}

/**
 * Whether an import failed because this very package is not there, and not one that it imports in turn. Node and webpack give a
 * code; browsers say that a specifier was not resolved (Chrome, Firefox) or does not (Safari), Vite that it could not.
 */
function isMissing(error: unknown, name: string): boolean {
  if (!(error instanceof Error)) return false;
  const isUnresolved =
    'code' in error
      ? error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND'
      : /\bspecifier\b|\bresolve\b/i.test(error.message);
  return (
    isUnresolved && ["'", '"', '“', '`'].some(quote => error.message.includes(quote + name + closing(quote)))
  );
}

const closing = (quote: string) => (quote === '“' ? '”' : quote);

/** Whether this is Node or a compatible runtime, in which packages with native code load. In pages, `process` has fewer fields. */
export function runsInNode(): boolean {
  return 'process' in globalThis && 'versions' in process && typeof process.versions.node === 'string';
}
