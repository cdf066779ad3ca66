import {TransferError} from '../errors.js';

/** The code of a Node system error (`ENOENT`, `ENOSPC`, ...), undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

const advice: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk; free some, or choose another folder',
  EDQUOT: 'the disk quota is used up; free some space, or choose another folder',
  EFBIG: 'the file would be larger than this system allows',
  EACCES: 'permission is denied; choose a folder that you may write',
  EPERM: 'permission is denied; choose a folder that you may write',
  EROFS: 'the disk is read-only; choose another folder',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'it is a folder, not a file',
  EMFILE: 'too many files are open',
};

/** A failing disk as a TransferError that says what was being done, why it failed and what helps. */
export function diskError(error: unknown, action: string): TransferError {
  if (error instanceof TransferError) return error;
  const code = errorCode(error);
  const reason =
    (code !== undefined && advice[code]) || (error instanceof Error ? error.message : String(error));
  return new TransferError(`Cannot ${action}: ${reason}.`, {cause: error});
}

/**
 * Writes a file so that `path` holds all of it or what it held before: into `path.partial`, synced to the disk,
 * renamed at the end, removed when anything fails (Node only).
 * @throws TransferError where the disk fails; what `chunks` throws is passed on.
 */
export async function writeFileAtomically(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const {open, rename, rm, mkdir} = process.getBuiltinModule('node:fs/promises');
  const {dirname} = process.getBuiltinModule('node:path');
  const partial = `${path}.partial`;
  const onDisk = async <T>(operation: Promise<T>): Promise<T> => {
    try {
      return await operation;
    } catch (error) {
      throw diskError(error, `write ${path}`);
    }
  };
  await onDisk(mkdir(dirname(path), {recursive: true}));
  const handle = await onDisk(open(partial, 'w'));
  try {
    try {
      for await (const chunk of chunks) {
        for (let done = 0; done < chunk.length;) {
          done += (await onDisk(handle.write(chunk, done))).bytesWritten;
        }
      }
      await onDisk(handle.sync());
    } finally {
      await handle.close();
    }
    await onDisk(rename(partial, path));
  } catch (error) {
    await rm(partial, {force: true});
    throw error;
  }
}
