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
  EEXIST: 'a file of that name is in the way',
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
 * Writes a file so that `path` holds either all of it or its previous content, whenever the process or the machine stops: into a
 * file of its own beside it, synced to the disk, renamed at the end, and the folder synced too (Node only). Any number of
 * writers may run at the same time; the last one wins. A failed write leaves nothing. What a killed writer left is removed when the
 * same path is written an hour later.
 * @throws TransferError if the disk fails; what `chunks` throws is passed on.
 */
export async function writeFileAtomically(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const {open, rename, rm, mkdir} = process.getBuiltinModule('node:fs/promises');
  const {dirname} = process.getBuiltinModule('node:path');
  const partial = `${path}.${Math.random().toString(36).slice(2)}.partial`;
  const onDisk = async <T>(operation: Promise<T>): Promise<T> => {
    try {
      return await operation;
    } catch (error) {
      throw diskError(error, `write ${path}`);
    }
  };
  await onDisk(mkdir(dirname(path), {recursive: true}));
  const handle = await onDisk(open(partial, 'wx'));
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
    await rm(partial, {force: true}).catch(() => undefined);
    throw error;
  }
  await onDisk(syncFolder(dirname(path)));
  await removeLeftovers(path);
}

/** Makes a rename survive a power failure. Windows cannot open folders, and does this by itself. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const {open} = process.getBuiltinModule('node:fs/promises');
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Longer than any writer takes. */
const leftoverMs = 60 * 60 * 1000;

async function removeLeftovers(path: string): Promise<void> {
  const {readdir, rm, stat} = process.getBuiltinModule('node:fs/promises');
  const {basename, dirname, join} = process.getBuiltinModule('node:path');
  const [folder, name] = [dirname(path), basename(path)];
  for (const file of await readdir(folder).catch(() => [])) {
    if (!file.startsWith(`${name}.`) || !/^\.[0-9a-z]+\.partial$/.test(file.slice(name.length))) continue;
    const stats = await stat(join(folder, file)).catch(() => undefined);
    if (stats && Date.now() - stats.mtimeMs > leftoverMs) await rm(join(folder, file), {force: true});
  }
}
