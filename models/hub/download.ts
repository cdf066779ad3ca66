import type {FileHandle} from 'node:fs/promises';
import {TransferError} from '../../base/errors.js';
import {diskError} from '../../base/files/disk.js';
import {checkContent, checkHash} from './check_content.js';
import {
  type RemoteFile,
  type RequestOptions,
  ResumableTransferError,
  checkStatus,
  isPlain,
  readSize,
  requestFollowing,
} from './remote_file.js';

export interface TransferProgress {
  readonly file: string;
  readonly receivedBytes: number;
  /** Undefined if the server does not say. */
  readonly totalBytes: number | undefined;
}

export interface DownloadOptions extends RequestOptions {
  /** The most bytes that a file may have. Default: 256 MiB for .json files, 1 TiB for others. */
  readonly maxBytes?: number;
  /** Called after each piece of a file. */
  readonly onProgress?: (progress: TransferProgress) => void;
}

/**
 * Transfers a URL into the file `partial` (Node only). A transfer that was cut is continued by HTTP Range. The content is
 * compared with the size and hash that the hub states. If network or server fail, or the transfer is aborted, the partial
 * file stays for the next call; after any other failure it is removed.
 * @param file its path in the repository.
 * @throws TransferError if network, server or disk fail, or if the content is not what the hub states.
 */
export async function download(
  url: string,
  partial: string,
  remote: RemoteFile,
  file: string,
  options: DownloadOptions,
): Promise<void> {
  const {mkdir, rm} = process.getBuiltinModule('node:fs/promises');
  const {basename, dirname} = process.getBuiltinModule('node:path');
  const {maxBytes = file.endsWith('.json') ? 2 ** 28 : 2 ** 40} = options;
  if ((remote.size ?? 0) > maxBytes) throw tooLarge(url, maxBytes);
  try {
    await onDisk(partial, mkdir(dirname(partial), {recursive: true}));
    await transfer(url, partial, remote, basename(file), {...options, maxBytes});
    await checkHash(partial, remote, url);
    await checkContent(partial, file, url);
  } catch (error) {
    const resumable = error instanceof ResumableTransferError || options.signal?.aborted === true;
    if (!resumable || remote.etag === undefined) await rm(partial, {force: true}).catch(() => undefined);
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
  const {constants, open} = process.getBuiltinModule('node:fs/promises');
  // bytes are written at their own positions, so two processes can transfer the same file, as long as none empties it
  const handle = await onDisk(partial, open(partial, constants.O_RDWR | constants.O_CREAT));
  try {
    const present = (await handle.stat()).size;
    const usable = remote.etag !== undefined && (remote.size === undefined || present <= remote.size);
    const start = usable ? present : 0;
    if (remote.size === undefined || start < remote.size) {
      await receive(url, handle, start, remote, file, options);
    } else {
      options.onProgress?.({file, receivedBytes: start, totalBytes: remote.size});
    }
    await onDisk(partial, handle.sync());
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
  {maxBytes = Infinity, onProgress, ...options}: DownloadOptions,
): Promise<void> {
  const range = start > 0 ? {headers: {range: `bytes=${start}-`}} : {};
  const response = await requestFollowing(url, range, options);
  const resumed = response.status === 206 && contentRangeStart(response) === start;
  if (response.status === 416 || (response.status === 206 && !resumed)) {
    throw new TransferError(`${url} did not send the part that was asked for; run it again to start over.`);
  }
  checkStatus(response, url, options);
  await checkNotCompressed(response, url);
  let position = resumed ? start : 0; // a server that does not support ranges sends the whole file again
  const length = readSize(response.headers.get('content-length'));
  const total = remote.size ?? (length === undefined ? undefined : position + length);
  const report = () => onProgress?.({file, receivedBytes: position, totalBytes: total});
  report();
  const reader = (response.body ?? new Blob().stream()).getReader();
  for (;;) {
    const {done, value} = await reader.read().catch((error: unknown) => {
      options.signal?.throwIfAborted();
      if (position === total) return {done: true, value: undefined} as const; // a connection that breaks after the last byte
      throw new ResumableTransferError(
        `The transfer of ${file} was cut after ${position} bytes; run it again to continue from there.`,
        {cause: error},
      );
    });
    if (done) break;
    if (position + value.length > Math.min(maxBytes, total ?? Infinity)) {
      await reader.cancel();
      throw position + value.length > maxBytes
        ? tooLarge(url, maxBytes)
        : new TransferError(`${url} sends more than the ${total!} bytes that it states; nothing was kept.`);
    }
    await writeAll(handle, value, position, file);
    position += value.length;
    report();
  }
  if (total !== undefined && position < total) {
    throw new ResumableTransferError(
      `The transfer of ${file} ended after ${position} of ${total} bytes; run it again to continue from there.`,
    );
  }
  if ((await handle.stat()).size > position) await onDisk(file, handle.truncate(position)); // what was there before was longer
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
    const writing = handle.write(bytes, done, bytes.length - done, position + done);
    done += (await onDisk(file, writing)).bytesWritten;
  }
}

/** Lengths and ranges of a compressed answer count other bytes than the file's, and `fetch` does not decompress every kind. */
async function checkNotCompressed({headers, body}: Response, url: string): Promise<void> {
  if (isPlain(headers)) return;
  await body?.cancel();
  throw new TransferError(
    `${url} answers in compressed form (content-encoding: ${headers.get('content-encoding')!}) though it was asked for the ` +
      'file as it is. Use another mirror of the hub, or have the server or the proxy send these files uncompressed.',
  );
}

function contentRangeStart(response: Response): number | undefined {
  const match = /^bytes (\d{1,15})-/.exec(response.headers.get('content-range') ?? '');
  return match ? Number(match[1]) : undefined;
}

async function onDisk<T>(path: string, operation: Promise<T>): Promise<T> {
  return operation.catch((error: unknown) => {
    throw diskError(error, `write ${path}`);
  });
}
