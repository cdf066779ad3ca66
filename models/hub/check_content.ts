import {TransferError} from '../../base/errors.js';
import {diskError} from '../../base/files/disk.js';
import {foreignBytes, foreignContent} from '../../base/files/foreign_content.js';
import type {RemoteFile} from './remote_file.js';

/** @throws TransferError if the hash of a transferred file is not the one that its server states. */
export async function checkHash(partial: string, {hash}: RemoteFile, url: string): Promise<void> {
  if (hash === undefined) return;
  const actual = await (hash.algorithm === 'SHA-256' ? fileSha256 : fileGitSha1)(partial);
  if (actual === hash.hex) return;
  throw new TransferError(
    `What came from ${url} has the ${hash.algorithm} ${actual}, not ${hash.hex}; it was removed. Try again.`,
  );
}

/**
 * Keeps what is not the file out of the cache, such as the HTML of a login page.
 * @throws TransferError that says what was received instead of a model's file.
 */
export async function checkContent(partial: string, path: string, url: string): Promise<void> {
  if (!/\.(json|gguf|safetensors)$/.test(path)) return;
  const {open} = process.getBuiltinModule('node:fs/promises');
  const handle = await open(partial, 'r').catch((error: unknown) => {
    throw diskError(error, `read ${partial}`);
  });
  try {
    const {bytesRead, buffer} = await handle.read(new Uint8Array(foreignBytes), 0, foreignBytes, 0);
    const foreign = foreignContent(buffer.subarray(0, bytesRead));
    if (foreign !== undefined) throw new TransferError(`What came from ${url} ${foreign}. It was removed.`);
  } finally {
    await handle.close();
  }
}

/** The SHA-256 of a file, in hexadecimal (Node only). */
export function fileSha256(path: string): Promise<string> {
  return fileHash(path, 'sha256', '');
}

/** Git's object name of a file: the SHA-1 of `blob SIZE`, a zero byte and the content. */
async function fileGitSha1(path: string): Promise<string> {
  const {stat} = process.getBuiltinModule('node:fs/promises');
  const {size} = await stat(path).catch((error: unknown) => {
    throw diskError(error, `read ${path}`);
  });
  return fileHash(path, 'sha1', `blob ${size}\0`);
}

async function fileHash(path: string, algorithm: string, before: string): Promise<string> {
  const {createReadStream} = process.getBuiltinModule('node:fs');
  const {createHash} = process.getBuiltinModule('node:crypto');
  const hash = createHash(algorithm).update(before);
  try {
    for await (const chunk of createReadStream(path, {highWaterMark: 1 << 20})) {
      hash.update(chunk as Uint8Array);
    }
  } catch (error) {
    throw diskError(error, `read ${path}`);
  }
  return hash.digest('hex');
}
