import {FormatError, InvalidArgumentError, TransferError} from '../../base/errors.js';
import {writeFileAtomically} from '../../base/files/disk.js';
import {parseShardIndex} from '../../base/files/sharded_safetensors.js';
import {namesOfParts} from '../../base/files/split_gguf.js';
import {isFile, modelCacheDirectory} from './cache_directory.js';
import {type DownloadOptions, downloadFile} from './download.js';
import {type HubId, checkFileName, parseHubId} from './hub_id.js';

/** The only address of the hub in this package; users of a mirror set HF_ENDPOINT. */
const publicHub = 'https://huggingface.co';

export interface HubOptions extends DownloadOptions {
  /** Default: `modelCacheDirectory()`. */
  readonly cacheDirectory?: string;
  /** The hub's address. Default: `$HF_ENDPOINT`, else the public hub. */
  readonly endpoint?: string;
  /** For private and gated models. Default: `$HF_TOKEN`. */
  readonly token?: string;
}

/**
 * The files of a model on the hub, downloaded once into the cache directory (Node only).
 * With a file in the id (`owner/name:model.gguf`): that file, and where its name is that of one part of a split GGUF file
 * (`model-00001-of-00003.gguf`), all parts. Without: config.json, tokenizer.json and model.safetensors, or its index and all
 * shards, plus tokenizer_config.json and what else of `optionalFiles` is there.
 * @returns the path of the file, or of the folder that holds the files: what a local model would have.
 * @throws InvalidArgumentError for a text that is no hub id, TransferError where network, hub or disk fail.
 */
export async function fetchModel(id: string, options: HubOptions = {}): Promise<string> {
  const hubId = parseHubId(id);
  if (hubId.file !== undefined) return fetchParts(hubId, hubId.file, options);
  const {join} = process.getBuiltinModule('node:path');
  const folder = await modelFolder(hubId, options);
  if (await isComplete(folder)) return folder;

  const files: string[] = [];
  const get = async (file: string, optional = false): Promise<boolean> => {
    const there = await ensureFile(hubId, file, options, optional);
    if (there) files.push(file);
    return there;
  };
  if (!(await get('config.json', true))) {
    throw new TransferError(
      `There is no config.json in ${id}; check its name, or name one file, such as ${id}:model.gguf.`,
    );
  }
  await get('tokenizer.json');
  for (const file of optionalFiles) await get(file, true);
  if (!(await get('model.safetensors', true))) {
    if (!(await get('model.safetensors.index.json', true))) {
      throw new TransferError(
        `There are no safetensors in ${id}; name a GGUF file of it, such as ${id}:model.gguf.`,
      );
    }
    for (const shard of await shardsOf(join(folder, 'model.safetensors.index.json'))) await get(shard);
  }
  await markComplete(folder, files);
  return folder;
}

/** What a model may have beside its config, its tokenizer and its weights. */
const optionalFiles = [
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'generation_config.json',
  'chat_template.jinja',
];

/** The path of the file that was named, with the other parts of it beside it. */
async function fetchParts(id: HubId, file: string, options: HubOptions): Promise<string> {
  const path = await fetchModelFile(id, file, options);
  for (const part of namesOfParts(file) ?? []) await ensureFile(id, part, options, false);
  return path;
}

/** One file of a model on the hub; its path in the cache directory. See `fetchModel`. */
export async function fetchModelFile(
  id: HubId | string,
  file: string,
  options: HubOptions = {},
): Promise<string> {
  const hubId = typeof id === 'string' ? parseHubId(id) : id;
  const {join} = process.getBuiltinModule('node:path');
  await ensureFile(hubId, file, options, false);
  return join(await modelFolder(hubId, options), ...file.split('/'));
}

/** Downloads a file unless it is there; false where the hub has no such file and that is allowed. */
async function ensureFile(id: HubId, file: string, options: HubOptions, optional: boolean): Promise<boolean> {
  checkFileName(file);
  const {join} = process.getBuiltinModule('node:path');
  const path = join(await modelFolder(id, options), ...file.split('/'));
  if (await isFile(path)) return true;
  const {token = process.env['HF_TOKEN']} = options;
  const authorization: Record<string, string> =
    token === undefined || token === '' ? {} : {authorization: `Bearer ${token}`};
  return downloadFile(fileUrl(id, file, options), path, {
    ...options,
    headers: {...authorization, ...options.headers},
    optional,
  });
}

function fileUrl({owner, name, revision}: HubId, file: string, {endpoint}: HubOptions): string {
  const base = endpoint ?? (process.env['HF_ENDPOINT'] || publicHub);
  if (!/^https?:\/\/[^/]/.test(base)) {
    throw new InvalidArgumentError(
      `The hub's address "${base}" is no http(s) URL; set HF_ENDPOINT right or not at all.`,
    );
  }
  const parts = [owner, name, 'resolve', revision, ...file.split('/')];
  return [base.replace(/\/+$/, ''), ...parts.map(encodeURIComponent)].join('/');
}

async function modelFolder({owner, name, revision}: HubId, {cacheDirectory}: HubOptions): Promise<string> {
  const {join} = process.getBuiltinModule('node:path');
  // a revision may hold slashes (refs/pr/1), which must not nest one model's folder in another's
  return join(
    cacheDirectory ?? (await modelCacheDirectory()),
    'hub',
    owner,
    name,
    encodeURIComponent(revision),
  );
}

async function shardsOf(indexPath: string): Promise<readonly string[]> {
  const {readFile, rm} = process.getBuiltinModule('node:fs/promises');
  try {
    return parseShardIndex(await readFile(indexPath), indexPath).fileNames;
  } catch (error) {
    // a damaged index must not stay in the cache as if it were good
    if (error instanceof FormatError) await rm(indexPath, {force: true});
    throw error;
  }
}

/** Lists the files of a folder that has all of them, so that the hub is not asked again for those it lacks. */
const completeFile = 'eigenkv_complete.json';

async function markComplete(folder: string, files: readonly string[]): Promise<void> {
  const {join} = process.getBuiltinModule('node:path');
  await writeFileAtomically(join(folder, completeFile), [new TextEncoder().encode(JSON.stringify(files))]);
}

async function isComplete(folder: string): Promise<boolean> {
  const {readFile} = process.getBuiltinModule('node:fs/promises');
  const {join} = process.getBuiltinModule('node:path');
  let files: unknown;
  try {
    files = JSON.parse(await readFile(join(folder, completeFile), 'utf8'));
  } catch {
    return false;
  }
  if (!Array.isArray(files) || !files.every(file => typeof file === 'string')) return false;
  return (await Promise.all(files.map(file => isFile(join(folder, file))))).every(Boolean);
}
