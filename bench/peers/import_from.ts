import {createRequire} from 'node:module';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';

/** The file of a package that is installed in a folder, or why there is none. */
export function resolveFrom(folder: string, name: string): {readonly path: string} | string {
  try {
    return {path: createRequire(join(folder, 'package.json')).resolve(name)};
  } catch {
    return `${name} is not installed in ${folder}: left out (npm install ${name} there).`;
  }
}

/** A package that is installed in a folder, or why there is none. */
export async function importFrom(folder: string, name: string): Promise<object | string> {
  const found = resolveFrom(folder, name);
  return typeof found === 'string' ? found : ((await import(pathToFileURL(found.path).href)) as object);
}
