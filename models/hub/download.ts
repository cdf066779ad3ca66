import type {FileHandle} from 'node:fs/promises';
import {TransferError} from '../../base/errors.js';
import {diskError, errorCode} from '../../base/files/disk.js';
import {isFile} from './cache_directory.js';
import {checkContent, checkHash} from './check_content.js';
import {
  type RemoteFile,
  type RequestOptions,
  ResumableTransferError,
  checkStatus,
  inspectRemote,
  readSize,
  requestFollowing,
} from './remote_file.js';

export interface TransferProgress {
  readonly file: string;
  readonly receivedBytes: number;
  /** Undefined where the server does not say. */
  readonly totalBytes: number | undefined;
}

export interface DownloadOptions extends RequestOptions {
  /** The most bytes that a file may have. Default: 256 MiB for .json files, 1 TiB for others. */
  readonly maxBytes?: number;
  readonly onProgress?: (progress: TransferProgress) => void;
}

/**
 * Transfers a URL into `path` (Node only): into a `.partial` file named after the content's version, continued there
 * by HTTP Range where an earlier transfer was cut, compared with the size and hash that the hub states, and renamed
 * at the end. Where the network fails, the partial file waits for the next call; any other failure leaves nothing.
 * @returns false where the server has no such file (404) and `optional` is set, else true.
 * @throws TransferError where network, server or disk fail, or the content is not what the hub states.
 */
export async function downloadFile(
  url: string,
  path: string,
  {optional = false, ...options}: DownloadOptions & {readonly optional?: boolean} = {},
): Promise<boolean> {
  const {mkdir, rename} = process.getBuiltinModule('node:fs/promises');
  const {basename, dirname} = process.getBuiltinModule('node:path');
  const remote = await inspectRemote(url, options);
  if (remote === undefined) {
    if (optional) return false;
    throw new TransferError(
      `There is no ${basename(path)} at ${url} (404). Check the names of model, revision and file.`,
    );
  }
  const {maxBytes = path.endsWith('.json') ? 2 ** 28 : 2 ** 40} = options;
  if ((remote.size ?? 0) > maxBytes) throw tooLarge(url, maxBytes);
  const partial = `${path}.${versionTag(remote.etag)}.partial`;
  try {
    await mkdir(dirname(path), {recursive: true}).catch(diskFailure(path));
    await transfer(url, partial, remote, basename(path), {...options, maxBytes});
    await checkHash(partial, remote, url);
    await checkContent(partial, path, url);
    await rename(partial, path).catch(async (error: unknown) => {
      // another process finished the same file first
      if (errorCode(error) !== 'ENOENT' || !(await isFile(path))) throw diskFailureOf(error, path);
    });
    return true;
  } catch (error) {
    const resumable = error instanceof ResumableTransferError || options.signal?.aborted === true;
    if (!resumable || remote.etag === undefined) await removeQuietly(partial);
    throw error;
  }
}

async function transfer(
  url: string,
  partial: string,
  remote: RemoteFile,
  file: string,
  options: DownloadOptions,
): Promise<void> {
  const {open} = process.getBuiltinModule('node:fs/promises');
  // bytes are written at their own positions, so that two processes at work on one file do no harm
  const handle = await open(partial, 'r+')
    .catch(() => open(partial, 'w+'))
    .catch(diskFailure(partial));
  try {
    const present = (await handle.stat()).size;
    const usable = remote.etag !== undefined && (remote.size === undefined || present <= remote.size);
    const start = usable ? present : 0;
    if (start < present) await handle.truncate(0).catch(diskFailure(partial));
    if (remote.size === undefined || start < remote.size) {
      await receive(url, handle, start, remote, file, options);
    } else {
      options.onProgress?.({file, receivedBytes: start, totalBytes: remote.size});
    }
    await handle.sync().catch(diskFailure(partial));
  } finally {
    await handle.close();
  }
}

async function receive(
  url: string,
  handle: FileHandle,
  start: number,
  remote: RemoteFile,
  file: string,
  {maxBytes = Infinity, ...options}: DownloadOptions,
): Promise<void> {
  const response = await requestFollowing(
    url,
    start > 0 ? {headers: {range: `bytes=${start}-`}} : {},
    options,
  );
  const resumed = response.status === 206 && contentRangeStart(response) === start;
  if (response.status === 416 || (response.status === 206 && !resumed)) {
    throw new TransferError(`${url} did not send the part that was asked for; run it again to start over.`);
  }
  checkStatus(response, url);
  await checkNotCompressed(response, url);
  let position = resumed ? start : 0;
  // a server that knows no ranges sends all of it again
  if (!resumed && start > 0) await handle.truncate(0).catch(diskFailure(file));
  const length = readSize(response.headers.get('content-length'));
  const total = remote.size ?? (length === undefined ? undefined : position + length);
  options.onProgress?.({file, receivedBytes: position, totalBytes: total});
  const reader = (response.body ?? new Blob().stream()).getReader();
  for (;;) {
    const {done, value} = await reader.read().catch((error: unknown) => {
      options.signal?.throwIfAborted();
      if (position === total) return {done: true, value: undefined} as const; // a connection that breaks behind the last byte
      throw new ResumableTransferError(
        `The transfer of ${file} was cut after ${position} bytes; run it again to continue from there.`,
        {cause: error},
      );
    });
    if (done) break;
    if (position + value.length > maxBytes) {
      await reader.cancel();
      throw tooLarge(url, maxBytes);
    }
    if (total !== undefined && position + value.length > total) {
      await reader.cancel();
      throw new TransferError(`${url} sends more than the ${total} bytes that it states; nothing was kept.`);
    }
    await writeAll(handle, value, position, file);
    position += value.length;
    options.onProgress?.({file, receivedBytes: position, totalBytes: total});
  }
  if (total !== undefined && position < total) {
    throw new ResumableTransferError(
      `The transfer of ${file} ended after ${position} of ${total} bytes; run it again to continue from there.`,
    );
  }
}

function tooLarge(url: string, maxBytes: number): TransferError {
  return new TransferError(
    `${url} is larger than the ${maxBytes} bytes allowed (maxBytes); nothing was kept.`,
  );
}

async function writeAll(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
  file: string,
): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const {bytesWritten} = await handle
      .write(bytes, done, bytes.length - done, position + done)
      .catch(diskFailure(file));
    done += bytesWritten;
  }
}

/** Lengths and ranges of a compressed answer count other bytes than the file's, and not every kind is undone on the way. */
async function checkNotCompressed({headers, body}: Response, url: string): Promise<void> {
  const encoding = headers.get('content-encoding') ?? 'identity';
  if (encoding === 'identity') return;
  await body?.cancel();
  throw new TransferError(
    `${url} answers in compressed form (content-encoding: ${encoding}) though it was asked for the file as it is. Use another ` +
      'mirror of the hub, or have the server or the proxy before it send these files uncompressed.',
  );
}

function versionTag(etag: string | undefined): string {
  if (etag === undefined) return 'unversioned';
  const {createHash} = process.getBuiltinModule('node:crypto');
  return createHash('sha256').update(etag).digest('hex').slice(0, 16);
}

function contentRangeStart(response: Response): number | undefined {
  const match = /^bytes (\d{1,15})-/.exec(response.headers.get('content-range') ?? '');
  return match ? Number(match[1]) : undefined;
}

function diskFailureOf(error: unknown, path: string): TransferError {
  return diskError(error, `write ${path}`);
}

function diskFailure(path: string): (error: unknown) => never {
  return error => {
    throw diskFailureOf(error, path);
  };
}

async function removeQuietly(path: string): Promise<void> {
  const {rm} = process.getBuiltinModule('node:fs/promises');
  await rm(path, {force: true}).catch(() => undefined);
}
