import {FormatError, TransferError} from '../../base/errors.js';
import {parseShardIndex} from '../../base/files/sharded_safetensors.js';
import {namesOfParts} from '../../base/files/split_gguf.js';
import {hubCacheDirectory, isFile, modelCacheDirectory} from './cache_directory.js';
import {chooseGguf, exactGguf, hasGguf} from './choose_gguf.js';
import {type DownloadOptions, download} from './download.js';
import {formerPath} from './former_cache.js';
import {HubCache, isCommitHash} from './hub_cache.js';
import {type HubId, checkFileName, parseHubId} from './hub_id.js';
import {type HubOptions, fileUrl, isOffline, withToken} from './hub_request.js';
import {listFiles} from './list_files.js';
import {type RemoteFile, inspectRemote} from './remote_file.js';

/**
 * The files of a model on the hub, downloaded once into the cache directory (Node only). Which commit a branch or tag points to
 * is asked once, too; a newer one is used after Python's library has looked for it, or if it is named (`owner/name@COMMIT`).
 *
 * - With a file in the id (`owner/name:model.gguf`): that file, and all parts if it is one part of a split GGUF file
 *   (`model-00001-of-00003.gguf`).
 * - With a quantisation (`owner/name:Q4_K_M`): the GGUF file of it, and all its parts. See `chooseGguf`.
 * - Without: config.json, tokenizer.json, model.safetensors or its index and all shards, and those of `optionalFiles` that exist; of a
 *   repository without these its GGUF file, if it is the only one.
 *
 * @param id see `parseHubId`.
 * @returns the path of the file, or of the folder that holds the files: what a local model would have.
 * @throws InvalidArgumentError for a text that is not a hub id; TransferError if network, hub or disk fail, or the hub has no such model.
 */
export async function fetchModel(id: string, options: HubOptions = {}): Promise<string> {
  const hubId = parseHubId(id);
  if (hubId.file !== undefined) return fetchParts(hubId, hubId.file, options);
  if (hubId.quantization !== undefined) return fetchQuantization(hubId, hubId.quantization, options);
  const former = await formerPath(options.cacheDirectory ?? modelCacheDirectory(), hubId);
  if (former !== undefined) return former;
  const get = (file: string) => ensureFile(hubId, file, options, true);

  const config = await get('config.json');
  if (config === undefined) {
    const none = `There is no config.json in ${id}; check its name, or name one file, such as ${id}:model.gguf.`;
    return fetchOnlyGguf(hubId, none, options);
  }
  if ((await ensureFile(hubId, 'tokenizer.json', options)) === undefined) {
    return fetchOnlyGguf(hubId, missing(hubId, 'tokenizer.json', options), options);
  }
  for (const file of optionalFiles) await get(file);
  if ((await get('model.safetensors')) === undefined) {
    const index = await get('model.safetensors.index.json');
    if (index === undefined) {
      return fetchOnlyGguf(
        hubId,
        `There are no safetensors in ${id}; name a GGUF file of it, such as ${id}:model.gguf.`,
        options,
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

async function fetchQuantization(id: HubId, quantization: string, options: HubOptions): Promise<string> {
  const cached = await cacheOf(id, options).files();
  const known = exactGguf(cached, quantization);
  if (known !== undefined) return fetchParts(id, known, options);
  const files = isOffline(options) ? cached : await filesOfHub(id, options);
  const {owner, name} = id;
  if (files === undefined || (isOffline(options) && !hasGguf(files))) {
    throw new TransferError(missing(id, `GGUF file of ${quantization}`, options));
  }
  return fetchParts(id, chooseGguf(files, quantization, `${owner}/${name}`), options);
}

/**
 * The GGUF file of a repository without the files of a whole model.
 * @param otherwise the message of the error if there is no GGUF file either.
 */
async function fetchOnlyGguf(id: HubId, otherwise: string, options: HubOptions): Promise<string> {
  const files = isOffline(options) ? await cacheOf(id, options).files() : await filesOfHub(id, options);
  if (files === undefined || !hasGguf(files)) throw new TransferError(otherwise);
  return fetchParts(id, chooseGguf(files, undefined, `${id.owner}/${id.name}`), options);
}

/** The files of the commit that was downloaded before, else of the revision; undefined if the hub does not list them. */
async function filesOfHub(id: HubId, options: HubOptions): Promise<readonly string[] | undefined> {
  return listFiles(id, revisionOf(id, await cacheOf(id, options).commit()), options);
}

async function needFile(id: HubId, file: string, options: HubOptions): Promise<string> {
  const path = await ensureFile(id, file, options);
  if (path !== undefined) return path;
  throw new TransferError(missing(id, file, options));
}

function missing(id: HubId, file: string, options: HubOptions): string {
  const {owner, name, revision} = id;
  return isOffline(options)
    ? `${file} of ${owner}/${name}@${revision} was not downloaded yet, and HF_HUB_OFFLINE or \`offline\` forbids asking the hub.`
    : `There is no ${file} at ${fileUrl(id, revision, file, options)} (404). Check the names of model, revision and file.`;
}

const cacheOf = (id: HubId, {cacheDirectory = hubCacheDirectory()}: HubOptions) =>
  new HubCache(cacheDirectory, id);

/** All files of a model come from the commit of the first one. */
const revisionOf = ({revision}: HubId, commit: string | undefined) =>
  commit !== undefined && isCommitHash(commit) ? commit : revision;

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
  const cache = cacheOf(id, options);
  const {join} = process.getBuiltinModule('node:path');
  let commit = await cache.commit();
  if (commit !== undefined) {
    const path = join(cache.snapshot(commit), file);
    if (await isFile(path)) return path;
    if (await cache.lacks(commit, file)) return undefined;
  }
  if (isOffline(options)) return undefined;

  const url = fileUrl(id, revisionOf(id, commit), file, options);
  const request = withToken(options);
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
