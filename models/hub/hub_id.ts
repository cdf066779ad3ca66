import {InvalidArgumentError} from '../../base/errors.js';

/** A model on the Hugging Face hub. */
export interface HubId {
  readonly owner: string;
  readonly name: string;
  /** A branch, tag or commit. */
  readonly revision: string;
  /** One file of the repository, with `/` between folders; undefined for a whole model. */
  readonly file?: string;
}

const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$/;
const revisionPattern = /^[A-Za-z0-9_][A-Za-z0-9_./-]{0,254}$/;
const filePartPattern = /^[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,254}$/;

/**
 * Parses `owner/name` or `owner/name@revision`, either followed by `:file` or not. Each part becomes a folder of the cache, so
 * that parts which could lead out of it (`..`, absolute paths) are refused.
 * @throws InvalidArgumentError if the text is not such an id.
 */
export function parseHubId(text: string): HubId {
  const match = /^([^/@:]+)\/([^/@:]+)(?:@([^@:]+))?(?::([^@:]+))?$/.exec(text);
  const [, owner = '', name = '', revision = 'main', file] = match ?? [];
  const valid =
    namePattern.test(owner) &&
    namePattern.test(name) &&
    revisionPattern.test(revision) &&
    !/\.\.|\/\/|\/$/.test(`${owner} ${name} ${revision}`) &&
    (file === undefined || isFileName(file));
  if (valid) return {owner, name, revision, file};
  throw new InvalidArgumentError(
    `"${text}" is not a hub id. Write owner/name, owner/name@revision or owner/name:file.gguf, ` +
      'or the path of a file or folder that exists.',
  );
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

function isFileName(file: string): boolean {
  return file.split('/').every(part => filePartPattern.test(part) && !part.includes('..'));
}
