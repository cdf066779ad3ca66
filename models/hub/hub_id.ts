import {InvalidArgumentError} from '../../base/errors.js';

/** A model on the Hugging Face hub. */
export interface HubId {
  readonly owner: string;
  readonly name: string;
  /** A branch, tag or commit. */
  readonly revision: string;
  /** One file of the repository, `/` between its folders. */
  readonly file?: string;
}

const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$/;
const revisionPattern = /^[A-Za-z0-9_][A-Za-z0-9_./-]{0,254}$/;
const filePartPattern = /^[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,254}$/;

/**
 * Reads `owner/name`, `owner/name@revision` or either with `:file` behind it. Nothing that could lead out of a folder
 * passes: its parts become folders of the cache.
 * @throws InvalidArgumentError where the text is no such id.
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
  if (valid) return {owner, name, revision, ...(file !== undefined && {file})};
  throw new InvalidArgumentError(
    `"${text}" is no hub id. Write owner/name, owner/name@revision or owner/name:file.gguf, ` +
      'or the path of a file or folder that exists.',
  );
}

/** Whether a text can be a hub id; a path to a local file can look the same, so look for the file first. */
export function isHubId(text: string): boolean {
  try {
    parseHubId(text);
    return true;
  } catch {
    return false;
  }
}

/** @throws InvalidArgumentError for a name that could lead out of its folder. */
export function checkFileName(file: string): void {
  if (isFileName(file)) return;
  throw new InvalidArgumentError(
    `"${file}" is no file of a repository; write a name such as model.safetensors.`,
  );
}

function isFileName(file: string): boolean {
  return file.split('/').every(part => filePartPattern.test(part) && !part.includes('..'));
}
