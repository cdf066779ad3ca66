import {namesOfParts} from '../../base/files/split_gguf.js';
import {isFile} from './cache_directory.js';
import type {HubId} from './hub_id.js';

/**
 * Where earlier versions of eigenkv kept a file with all its parts, or a whole model: `CACHE/hub/OWNER/NAME/REVISION/FILE`;
 * undefined if it is not there, or not all of it. The files of a whole model were listed in eigenkv_complete.json.
 */
export async function formerPath(
  cacheDirectory: string,
  {owner, name, revision, file}: HubId,
): Promise<string | undefined> {
  const {readFile} = process.getBuiltinModule('node:fs/promises');
  const {join} = process.getBuiltinModule('node:path');
  const folder = join(cacheDirectory, 'hub', owner, name, encodeURIComponent(revision));
  const areThere = async (files: readonly string[]) =>
    (await Promise.all(files.map(one => isFile(join(folder, one))))).every(Boolean);
  if (file !== undefined) {
    return (await areThere(namesOfParts(file) ?? [file])) ? join(folder, file) : undefined;
  }
  try {
    const files: unknown = JSON.parse(await readFile(join(folder, 'eigenkv_complete.json'), 'utf8'));
    if (!Array.isArray(files) || !files.every(one => typeof one === 'string')) return undefined;
    return (await areThere(files)) ? folder : undefined;
  } catch {
    return undefined;
  }
}
