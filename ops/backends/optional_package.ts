import {BackendError} from '../errors.js';

/**
 * Imports a package that may not be installed, and says whether it is.
 *
 * @param load the import itself: `() => import('name')` for packages that browsers use, so that bundlers see it.
 * @param otherwise what to do without it, for the error's text.
 * @throws BackendError where the package is there and fails to load.
 */
export async function importOptional(
  name: string,
  load: () => Promise<unknown>,
  otherwise = 'use another backend',
): Promise<boolean> {
  try {
    await load();
    return true;
  } catch (error) {
    if (isMissing(error, name)) return false;
    const reason = error instanceof Error ? firstLine(error.message) : `${String(error)}.`;
    throw new BackendError(
      `${name} is installed but does not load: ${reason} Install it again, or ${otherwise}.`,
      {cause: error},
    );
  }
}

/** The first line of a message, as a sentence. */
function firstLine(message: string): string {
  return `${message.trim().split('\n')[0]!.trim().replace(/\.$/, '')}.`;
}

/** Whether an import failed because this very package is not there, and not one that it imports in turn. */
function isMissing(error: unknown, name: string): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') &&
    error.message.includes(`'${name}'`)
  );
}

/** Node, or a runtime that passes for it: packages with native code load here. */
export function runsInNode(): boolean {
  return 'process' in globalThis && typeof process.versions.node === 'string';
}
