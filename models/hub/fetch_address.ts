import {InvalidArgumentError, TransferError} from '../../base/errors.js';
import {diskError} from '../../base/files/disk.js';
import {namesOfParts} from '../../base/files/split_gguf.js';
import {isFile, modelCacheDirectory} from './cache_directory.js';
import {type DownloadOptions, download} from './download.js';
import {isFileName} from './hub_id.js';
import {isOffline} from './hub_request.js';
import {inspectRemote} from './remote_file.js';

export interface AddressOptions extends Omit<DownloadOptions, 'headers'> {
  /** Default: `modelCacheDirectory()`. */
  readonly cacheDirectory?: string;
  /** Whether to use only files that were downloaded before. Default: whether `$HF_HUB_OFFLINE` is 1. */
  readonly offline?: boolean;
}

export const isWebAddress = (text: string) => /^https?:\/\//i.test(text);

/**
 * A .gguf file of any server by its address, and all parts if it is one part of a split file, downloaded once into
 * `CACHE/addresses/HASH/` (Node only); see `download`. Tokens of the hub are not sent.
 * @returns the path of the file.
 * @throws InvalidArgumentError if it is not the address of a .gguf file; TransferError if network, server or disk fail.
 */
export async function fetchAddress(address: string, options: AddressOptions = {}): Promise<string> {
  const {join} = process.getBuiltinModule('node:path');
  const {createHash} = process.getBuiltinModule('node:crypto');
  const {url, name} = checkedAddress(address);
  const hash = createHash('sha256')
    .update(new URL('.', url).href + url.search)
    .digest('hex')
    .slice(0, 16);
  const folder = join(options.cacheDirectory ?? modelCacheDirectory(), 'addresses', hash);
  for (const part of namesOfParts(name) ?? [name]) {
    const partUrl = new URL(encodeURIComponent(part) + url.search, url);
    await ensure(partUrl.href, join(folder, part), part, options);
  }
  return join(folder, name);
}

function checkedAddress(address: string): {url: URL; name: string} {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const name = decoded(url?.pathname.split('/').at(-1) ?? '');
  const isPlain = url !== undefined && url.username === '' && url.password === '';
  if (isPlain && isWebAddress(address) && /\.gguf$/i.test(name) && isFileName(name)) return {url, name};
  throw new InvalidArgumentError(
    `"${address}" is not the address of a .gguf file. Give one that ends with its name and holds no password, or a hub id: ` +
      'owner/name, owner/name:file.gguf, owner/name:Q4_K_M.',
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

async function ensure(url: string, path: string, name: string, options: AddressOptions): Promise<void> {
  if (await isFile(path)) return;
  if (isOffline(options)) {
    throw new TransferError(
      `${url} was not downloaded yet, and HF_HUB_OFFLINE or \`offline\` forbids asking its server.`,
    );
  }
  const {createHash} = process.getBuiltinModule('node:crypto');
  const {rename} = process.getBuiltinModule('node:fs/promises');
  const remote = await inspectRemote(url, options);
  if (!remote.exists) throw new TransferError(`There is no file at ${url} (404). Check the address.`);
  const version = createHash('sha256')
    .update(remote.etag ?? '')
    .digest('hex')
    .slice(0, 16);
  const partial = `${path}.${version}.partial`;
  await download(url, partial, remote, name, options);
  await rename(partial, path).catch((error: unknown) => {
    throw diskError(error, `write ${path}`);
  });
}
