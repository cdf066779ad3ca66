import {mkdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {InvalidArgumentError} from '../../../base/errors.js';
import {diskError, writeFileAtomically} from '../../../base/files/disk.js';
import {decodeUtf8} from '../../../models/model_like.js';

/**
 * Reads the text of a file that the user named.
 * @throws InvalidArgumentError if it cannot be read or is empty, FormatError if it is not UTF-8.
 */
export async function readText(path: string): Promise<string> {
  const text = decodeUtf8(await readBytes(path), path);
  if (text.trim() === '') throw new InvalidArgumentError(`${path} is empty; give a file with some text.`);
  return text;
}

/**
 * Reads a file that the user named.
 * @throws InvalidArgumentError if it cannot be read.
 */
export async function readBytes(path: string): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw new InvalidArgumentError(`${path} cannot be read; check that it exists and that you may read it.`, {
      cause,
    });
  });
}

/**
 * Writes texts by file name into a folder, which is created if it does not exist.
 * @returns the paths of the files.
 * @throws TransferError if the disk fails.
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

/** Returns a value as the text of a JSON file. */
export function jsonFile(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
