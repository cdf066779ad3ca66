import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {diskError, writeFileAtomically} from '../../../base/files/disk.js';

/**
 * Writes texts by their file names into a folder, which is made where it is not there.
 * @returns their paths.
 * @throws TransferError where the disk fails.
 */
export async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<string[]> {
  await mkdir(folder, {recursive: true}).catch((error: unknown) => {
    throw diskError(error, `make the folder ${folder}`);
  });
  for (const [name, content] of Object.entries(files)) {
    await writeFileAtomically(join(folder, name), [new TextEncoder().encode(content)]);
  }
  return Object.keys(files).map(name => join(folder, name));
}

/** An object as a JSON file has it. */
export function jsonFile(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
