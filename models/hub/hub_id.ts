import {InvalidArgumentError} from '../../base/errors.js';

/** A model on the Hugging Face hub. */
export interface HubId {
  readonly owner: string;
  readonly name: string;
  /** A branch, tag or commit. */
  readonly revision: string;
  /** One file of the repository, with `/` between folders; undefined for a whole model. */
  readonly file?: string;
  /** In place of a file: the GGUF file of this quantisation, such as `Q4_K_M`. */
  readonly quantization?: string;
}

const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$/;
const revisionPattern = /^[A-Za-z0-9_][A-Za-z0-9_./-]{0,254}$/;
const filePartPattern = /^[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,254}$/;
const quantizationPattern = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Parses `owner/name` or `owner/name@revision`, either followed by `:file`, `:quantisation` or nothing, and addresses of the hub:
 * `https://huggingface.co/owner/name`, the same with `/tree/revision`, `/blob/revision/file` or `/resolve/revision/file`, with the host
 * `hf.co`, or without `https://`. Each part becomes a folder of the cache, so that parts which could lead out of it (`..`, absolute
 * paths) are refused.
 * @throws InvalidArgumentError if the text is none of these.
 */
export function parseHubId(text: string): HubId {
  const parts = partsOfAddress(text) ?? partsOfId(text);
  const id = parts && checkedId(parts);
  if (id !== undefined) return id;
  throw new InvalidArgumentError(
    `"${text}" is not a hub id. Write owner/name, owner/name@revision, owner/name:file.gguf, owner/name:Q4_K_M or an address of the hub, ` +
      'or the path of a file or folder that exists.',
  );
}

interface IdParts {
  readonly owner: string;
  readonly name: string;
  readonly revision?: string | undefined;
  /** A file or a quantisation. */
  readonly choice?: string | undefined;
}

function partsOfId(text: string): IdParts | undefined {
  const [, owner = '', name = '', revision, choice] =
    /^([^/@:]+)\/([^/@:]+)(?:@([^@:]+))?(?::([^@:]+))?$/.exec(text) ?? [];
  return {owner, name, revision, choice};
}

const hubHost = /^(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)\//;

/** Whether a text begins as an address of the hub, whatever follows. */
export const isHubAddress = (text: string) => hubHost.test(text);

/** Undefined for what is no address of the hub. */
function partsOfAddress(text: string): IdParts | undefined {
  const host = hubHost.exec(text)?.[0];
  if (host === undefined) return undefined;
  const path = text.slice(host.length).replace(/[?#].*$/s, '');
  const [, owner = '', name = '', kind, revision, file, colon] =
    /^([^/@:]+)\/([^/@:]+?)(?:\/(tree|blob|resolve)\/([^/@:]+)(?:\/([^@:]+?))?)?\/?(?::([^@:]+))?$/.exec(
      path,
    ) ?? [];
  // an address of a folder is none of a file, and one of a file names it already
  if ((kind === 'tree' && file !== undefined) || (file !== undefined && colon !== undefined))
    return undefined;
  if (kind !== undefined && kind !== 'tree' && file === undefined) return undefined;
  try {
    return {
      ...{owner, name, revision: revision && decodeURIComponent(revision)},
      choice: colon ?? (file && decodeURIComponent(file)),
    };
  } catch {
    return undefined; // no percent-encoding
  }
}

function checkedId({owner, name, revision = 'main', choice}: IdParts): HubId | undefined {
  const isQuantization = choice !== undefined && quantizationPattern.test(choice);
  const valid =
    namePattern.test(owner) &&
    namePattern.test(name) &&
    revisionPattern.test(revision) &&
    !/\.\.|\/\/|\/$/.test(`${owner} ${name} ${revision}`) &&
    (choice === undefined || isQuantization || isFileName(choice));
  if (!valid) return undefined;
  if (isQuantization) return {owner, name, revision, file: undefined, quantization: choice};
  return {owner, name, revision, file: choice};
}

/** Whether a text can be a hub id. The path of a local file can look the same, so look for the file first. */
export function isHubId(text: string): boolean {
  try {
    parseHubId(text);
    return true;
  } catch {
    return false;
  }
}

/** @throws InvalidArgumentError if the name could lead out of its folder. */
export function checkFileName(file: string): void {
  if (isFileName(file)) return;
  throw new InvalidArgumentError(
    `"${file}" is not a file name in a repository; write a name such as model.safetensors.`,
  );
}

export function isFileName(file: string): boolean {
  return file.split('/').every(part => filePartPattern.test(part) && !part.includes('..'));
}
