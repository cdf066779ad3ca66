import {diskError, errorCode} from '../../base/files/disk.js';
import {isFile} from './cache_directory.js';
import {fileSha256} from './check_content.js';
import type {HubId} from './hub_id.js';
import type {RemoteFile} from './remote_file.js';

/**
 * One model in the cache that Python's `huggingface_hub` shares:
 *
 *     models--OWNER--NAME/refs/REVISION             the commit that a branch or tag pointed to
 *                         blobs/HASH                each content once
 *                         snapshots/COMMIT/FILE     links to blobs
 *                         .no_exist/COMMIT/FILE     empty: the commit has no such file
 *
 * Files of servers that name no commit are kept under the revision's own name.
 */
export class HubCache {
  private readonly folder: string;

  constructor(
    cacheDirectory: string,
    private readonly id: HubId,
  ) {
    this.folder = pathJoin(cacheDirectory, `models--${id.owner}--${id.name}`);
  }

  /** The commit of the revision, undefined if nothing of the revision was downloaded yet. */
  async commit(): Promise<string | undefined> {
    const {readFile} = process.getBuiltinModule('node:fs/promises');
    const {revision} = this.id;
    if (isCommitHash(revision)) return revision;
    const ref = (await readFile(this.refPath(), 'utf8').catch(() => '')).trim();
    return /^[\w.%-]+$/.test(ref) && !ref.startsWith('.') ? ref : undefined;
  }

  /** Records which commit the revision, a branch or tag, points to, and returns it. */
  async setCommit(commit = encodeURIComponent(this.id.revision)): Promise<string> {
    await this.write(this.refPath(), commit);
    return commit;
  }

  /** The folder of a commit's files. */
  snapshot(commit: string): string {
    return pathJoin(this.folder, 'snapshots', commit);
  }

  /** Whether a file of the commit was downloaded, so that the commit is known to exist. */
  async knows(commit: string): Promise<boolean> {
    const {readdir} = process.getBuiltinModule('node:fs/promises');
    return (await readdir(this.snapshot(commit)).catch(() => [])).length > 0;
  }

  /** The files of the revision that were downloaded, with `/` between folders. */
  async files(): Promise<readonly string[]> {
    const {readdir} = process.getBuiltinModule('node:fs/promises');
    const {sep} = process.getBuiltinModule('node:path');
    const commit = await this.commit();
    if (commit === undefined) return [];
    const files = await readdir(this.snapshot(commit), {recursive: true}).catch(() => []);
    return files.map(file => file.split(sep).join('/'));
  }

  /** Whether it is known that the commit has no such file. */
  lacks(commit: string, file: string): Promise<boolean> {
    return isFile(pathJoin(this.folder, '.no_exist', commit, file));
  }

  setLacking(commit: string, file: string): Promise<void> {
    return this.write(pathJoin(this.folder, '.no_exist', commit, file), '');
  }

  /** Where a transfer is collected: the same place for the same version of a file only. */
  partialPath(file: string, {etag}: RemoteFile): string {
    const {createHash} = process.getBuiltinModule('node:crypto');
    const version = createHash('sha256')
      .update(`${etag ?? ''} ${file}`)
      .digest('hex');
    return pathJoin(this.folder, 'blobs', `${version.slice(0, 16)}.partial`);
  }

  /** The path of a content that is there already. */
  async blobPath({hash}: RemoteFile): Promise<string | undefined> {
    const path = hash && pathJoin(this.folder, 'blobs', hash.hex);
    return path !== undefined && (await isFile(path)) ? path : undefined;
  }

  /** Makes a blob of a transfer that is whole. */
  async keep(partial: string, {hash}: RemoteFile): Promise<string> {
    const {rename} = process.getBuiltinModule('node:fs/promises');
    const blob = pathJoin(this.folder, 'blobs', hash?.hex ?? (await fileSha256(partial)));
    await rename(partial, blob).catch((error: unknown) => {
      throw diskError(error, `write ${blob}`);
    });
    return blob;
  }

  /** Makes a blob a file of the commit. If the system refuses symbolic links (Windows without the right to them), it is moved there. */
  async link(blob: string, commit: string, file: string): Promise<void> {
    const {mkdir, rename, rm, symlink} = process.getBuiltinModule('node:fs/promises');
    const {dirname, relative} = process.getBuiltinModule('node:path');
    const path = pathJoin(this.snapshot(commit), file);
    const make = () => symlink(relative(dirname(path), blob), path);
    try {
      await mkdir(dirname(path), {recursive: true});
      await make().catch(async (error: unknown) => {
        if (errorCode(error) !== 'EEXIST') return rename(blob, path);
        if (await isFile(path)) return; // another process was faster
        await rm(path); // a link to a blob that somebody deleted
        await make();
      });
    } catch (error) {
      if (!(await isFile(path))) throw diskError(error, `write ${path}`);
    }
  }

  private refPath(): string {
    return pathJoin(this.folder, 'refs', this.id.revision);
  }

  private async write(path: string, text: string): Promise<void> {
    const {mkdir, writeFile} = process.getBuiltinModule('node:fs/promises');
    const {dirname} = process.getBuiltinModule('node:path');
    try {
      await mkdir(dirname(path), {recursive: true});
      await writeFile(path, text);
    } catch (error) {
      throw diskError(error, `write ${path}`);
    }
  }
}

export function isCommitHash(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

function pathJoin(...parts: string[]): string {
  return process.getBuiltinModule('node:path').join(...parts);
}
