import {FormatError, InvalidArgumentError, TransferError} from '../../base/errors.js';
import {parseShardIndex} from '../../base/files/sharded_safetensors.js';
import {namesOfParts} from '../../base/files/split_gguf.js';
import {hubCacheDirectory, isFile, modelCacheDirectory} from './cache_directory.js';
import {type DownloadOptions, download} from './download.js';
import {formerPath} from './former_cache.js';
import {HubCache, isCommitHash} from './hub_cache.js';
import {type HubId, checkFileName, parseHubId} from './hub_id.js';
import {type RemoteFile, inspectRemote} from './remote_file.js';

/** The only address of the hub in this package; users of a mirror set HF_ENDPOINT. */
const publicHub = 'https://huggingface.co';

export interface HubOptions extends DownloadOptions {
  /** Default: `hubCacheDirectory()`, which Python shares. */
  readonly cacheDirectory?: string;
  /** The hub's address. Default: `$HF_ENDPOINT`, else the public hub. */
  readonly endpoint?: string;
  /** For private and gated models. Default: `$HF_TOKEN`. */
  readonly token?: string;
  /** Whether to use only files that were downloaded before. Default: whether `$HF_HUB_OFFLINE` is 1. */
  readonly offline?: boolean;
}

/**
 * The files of a model on the hub, downloaded once into the cache directory (Node only). Which commit a branch or tag points to
 * is asked once, too; a newer one is used after Python's library has looked for it, or if it is named (`owner/name@COMMIT`).
 *
 * With a file in the id (`owner/name:model.gguf`): that file, and all parts if it is one part of a split GGUF file
 * (`model-00001-of-00003.gguf`). Without: config.json, tokenizer.json, model.safetensors or its index and all shards, and those of
 * `optionalFiles` that exist.
 * @returns the path of the file, or of the folder that holds the files: what a local model would have.
 * @throws InvalidArgumentError for a text that is not a hub id; TransferError if network, hub or disk fail.
 */
export async function fetchModel(id: string, options: HubOptions = {}): Promise<string> {
  const hubId = parseHubId(id);
  if (hubId.file !== undefined) return fetchParts(hubId, hubId.file, options);
  const former = await formerPath(options.cacheDirectory ?? modelCacheDirectory(), hubId);
  if (former !== undefined) return former;
  const get = (file: string) => ensureFile(hubId, file, options, true);

  const config = await get('config.json');
  if (config === undefined) {
    throw new TransferError(
      `There is no config.json in ${id}; check its name, or name one file, such as ${id}:model.gguf.`,
    );
  }
  await needFile(hubId, 'tokenizer.json', options);
  for (const file of optionalFiles) await get(file);
  if ((await get('model.safetensors')) === undefined) {
    const index = await get('model.safetensors.index.json');
    if (index === undefined) {
      throw new TransferError(
        `There are no safetensors in ${id}; name a GGUF file of it, such as ${id}:model.gguf.`,
      );
    }
    for (const shard of await shardsOf(index)) await needFile(hubId, shard, options);
  }
  return process.getBuiltinModule('node:path').dirname(config);
}

/** What a model may have beside its config, its tokenizer and its weights. */
const optionalFiles = [
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'generation_config.json',
  'chat_template.jinja',
  'chat_template.json',
];

/** The path of the file that was named; the other parts of it lie beside it. */
async function fetchParts(id: HubId, file: string, options: HubOptions): Promise<string> {
  const former = await formerPath(options.cacheDirectory ?? modelCacheDirectory(), {...id, file});
  if (former !== undefined) return former;
  const path = await needFile(id, file, options);
  for (const part of namesOfParts(file) ?? []) await needFile(id, part, options);
  return path;
}

async function needFile(id: HubId, file: string, options: HubOptions): Promise<string> {
  const path = await ensureFile(id, file, options);
  if (path !== undefined) return path;
  const {owner, name, revision} = id;
  throw new TransferError(
    isOffline(options)
      ? `${file} of ${owner}/${name}@${revision} was not downloaded yet, and HF_HUB_OFFLINE or \`offline\` forbids asking the hub.`
      : `There is no ${file} at ${fileUrl(id, revision, file, options)} (404). Check the names of model, revision and file.`,
  );
}

/**
 * The path of a file, which is downloaded unless it is there; undefined if the hub has no such file. For a commit, which never
 * changes, that is remembered.
 */
async function ensureFile(
  id: HubId,
  file: string,
  options: HubOptions,
  optional = false,
): Promise<string | undefined> {
  checkFileName(file);
  const cache = new HubCache(options.cacheDirectory ?? hubCacheDirectory(), id);
  const {join} = process.getBuiltinModule('node:path');
  let commit = await cache.commit();
  if (commit !== undefined) {
    const path = join(cache.snapshot(commit), file);
    if (await isFile(path)) return path;
    if (await cache.lacks(commit, file)) return undefined;
  }
  if (isOffline(options)) return undefined;

  // all files of a model come from the commit of the first one
  const revision = commit !== undefined && isCommitHash(commit) ? commit : id.revision;
  const url = fileUrl(id, revision, file, options);
  const request = {...options, headers: {...authorization(options), ...options.headers}};
  const remote = await inspectRemote(url, request);
  if (!remote.exists) {
    // mirrors may not say whether the file is missing or the whole repository
    const isMissing = remote.errorCode === undefined ? optional : remote.errorCode === 'EntryNotFound';
    if (isMissing && commit !== undefined && (await cache.knows(commit)))
      await cache.setLacking(commit, file);
    return undefined;
  }
  const blob = (await cache.blobPath(remote)) ?? (await receive(cache, url, file, remote, request));
  commit ??= await cache.setCommit(remote.commit);
  await cache.link(blob, commit, file);
  return join(cache.snapshot(commit), file);
}

async function receive(
  cache: HubCache,
  url: string,
  file: string,
  remote: RemoteFile,
  options: DownloadOptions,
): Promise<string> {
  const partial = cache.partialPath(file, remote);
  try {
    await download(url, partial, remote, file, options);
    return await cache.keep(partial, remote);
  } catch (error) {
    options.signal?.throwIfAborted();
    const blob = await cache.blobPath(remote); // another process may have finished the same file
    if (blob === undefined) throw error;
    return blob;
  }
}

function isOffline({
  offline = /^(1|on|yes|true)$/i.test(process.env['HF_HUB_OFFLINE'] ?? ''),
}: HubOptions): boolean {
  return offline;
}

function authorization({token = process.env['HF_TOKEN']}: HubOptions): Record<string, string> {
  return token ? {authorization: `Bearer ${token}`} : {};
}

function fileUrl({owner, name}: HubId, revision: string, file: string, {endpoint}: HubOptions): string {
  const base = endpoint ?? (process.env['HF_ENDPOINT'] || publicHub);
  if (!/^https?:\/\/[^/]/.test(base)) {
    throw new InvalidArgumentError(
      `The hub's address "${base}" is not an http(s) URL; correct HF_ENDPOINT or remove it.`,
    );
  }
  const parts = [owner, name, 'resolve', revision, ...file.split('/')];
  return [base.replace(/\/+$/, ''), ...parts.map(encodeURIComponent)].join('/');
}

async function shardsOf(indexPath: string): Promise<readonly string[]> {
  const {readFile, realpath, rm} = process.getBuiltinModule('node:fs/promises');
  try {
    return parseShardIndex(await readFile(indexPath), indexPath).fileNames;
  } catch (error) {
    // a damaged index must not stay in the cache as if it were good
    if (error instanceof FormatError) {
      await rm(await realpath(indexPath), {force: true});
      await rm(indexPath, {force: true});
    }
    throw error;
  }
}
