import {expect} from 'chai';
import {execFile} from 'node:child_process';
import {mkdir, mkdtemp, readdir, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {fileStore} from '../../../cache/stores/index.js';
import {TransferError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';
import {killDuringSave} from '../../slow/kill_during_save.js';
import {skip} from '../../support/skip.js';

const run = promisify(execFile);

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eigenkv-faults-'));
});
after(() => rm(folder, {recursive: true, force: true}));

/** A file system in memory; skips the test where this user may mount none. */
async function mounted(context: Mocha.Context, name: string, options: string): Promise<string> {
  const at = join(folder, name);
  await mkdir(at);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', at]);
  } catch (error) {
    skip(context, `this user mounts no tmpfs (${String(error).trim()})`);
  }
  return at;
}

describe('files of a store, where the disk', () => {
  it('is full: an error says so, and the former snapshot stays', async function () {
    const at = await mounted(this, 'small', 'size=1m');
    try {
      const store = fileStore(at);
      const old = new Uint8Array(600_000).fill(7);
      await store.set('chat', old);
      await rejection(
        store.set('chat', new Uint8Array(700_000)),
        TransferError,
        /no space is left on the disk/,
      );
      expect(Buffer.compare((await store.get('chat'))!, old)).to.equal(0);
      expect(await readdir(at), 'nothing half-written').to.deep.equal(['chat.safetensors']);
      await store.set('chat', new Uint8Array(300_000)); // there is room for a smaller one
    } finally {
      await run('umount', [at]);
    }
  });

  it('is read-only: an error says so, and the former snapshot can be read', async function () {
    const at = await mounted(this, 'fixed', 'size=1m');
    try {
      const store = fileStore(at);
      await store.set('chat', new Uint8Array([1, 2, 3]));
      await run('mount', ['-o', 'remount,ro', at]);
      await rejection(store.set('chat', new Uint8Array(9)), TransferError, /the disk is read-only/);
      expect([...(await store.get('chat'))!]).to.deep.equal([1, 2, 3]);
    } finally {
      await run('umount', [at]);
    }
  });
});

describe('a process that is killed while it saves', () => {
  it('leaves the old snapshot or the new one', async () => {
    const {kills, broken} = await killDuringSave(5, 1);
    expect(kills).to.equal(5);
    expect(broken).to.equal(0);
  });
});
