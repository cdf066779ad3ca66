import {expect} from 'chai';
import {IDBFactory} from 'fake-indexeddb';
import {mkdtemp, readFile, readdir, rm, utimes, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type ByteStore, byteStore, fileStore} from '../../../cache/stores/index.js';
import {FormatError, InvalidArgumentError, TransferError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';
import {runStoreRecipe} from '../../support/page_code.js';
import {fakeOpfs} from './fake_opfs.js';

const bytesOf = (length: number, seed: number) => Uint8Array.from({length}, (_, i) => (i * 31 + seed) % 251);

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eigenkv-stores-'));
});
after(() => rm(folder, {recursive: true}));

/** What browsers have and Node has not, as long as `run` takes. */
async function withGlobal<T>(name: string, value: unknown, run: () => Promise<T>): Promise<T> {
  const former = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, {value, configurable: true});
  try {
    return await run();
  } finally {
    if (former) Object.defineProperty(globalThis, name, former);
    else Reflect.deleteProperty(globalThis, name);
  }
}

interface Recipe {
  readonly store: ByteStore;
}

/** The recipes of docs/SNAPSHOTS.md for browsers, over databases and files in memory. */
async function indexedDbRecipe(factory = new IDBFactory()): Promise<ByteStore> {
  const {store} = await runStoreRecipe<Recipe>('idb-keyval', ['store']);
  const inBrowser = <T>(run: () => Promise<T>) => withGlobal('indexedDB', factory, run);
  return {
    get: name => inBrowser(() => store.get(name)),
    set: (name, bytes) => inBrowser(() => store.set(name, bytes)),
  };
}

async function opfsRecipe({root} = fakeOpfs()): Promise<ByteStore> {
  const navigator = {storage: {getDirectory: () => Promise.resolve(root)}};
  return withGlobal(
    'navigator',
    navigator,
    async () => (await runStoreRecipe<Recipe>('navigator.storage', ['store'])).store,
  );
}

const stores: Record<string, () => ByteStore | Promise<ByteStore>> = {
  'a Map': () => byteStore(new Map()),
  files: () => fileStore(join(folder, 'made', 'when needed')),
  IndexedDB: () => indexedDbRecipe(),
  OPFS: () => opfsRecipe(),
};

for (const [name, make] of Object.entries(stores)) {
  describe(`a store of ${name}`, () => {
    it('returns what was set last, and undefined if nothing was', async () => {
      const store = await make();
      expect(await store.get('chat')).to.equal(undefined);
      for (const bytes of [bytesOf(100_000, 1), bytesOf(7, 2), bytesOf(300, 3).subarray(100, 200)]) {
        await store.set('chat', bytes);
        await store.set('chat.2_x-Y', bytesOf(5, 5));
        expect(Buffer.compare((await store.get('chat'))!, bytes)).to.equal(0);
      }
      expect(Buffer.compare((await store.get('chat.2_x-Y'))!, bytesOf(5, 5))).to.equal(0);
    });

    it('accepts only plain names', async () => {
      const store = await make();
      for (const wrong of [
        '',
        '.',
        '..',
        '../up',
        'a/b',
        'a\\b',
        '/etc/passwd',
        '.hidden',
        'a b',
        'x'.repeat(201),
      ]) {
        await rejection(store.get(wrong), InvalidArgumentError, /cannot be the name of a snapshot/);
        await rejection(
          store.set(wrong, bytesOf(1, 1)),
          InvalidArgumentError,
          /cannot be the name of a snapshot/,
        );
      }
    });
  });
}

describe('a store that', () => {
  const failing = (get: () => unknown, options = {}) => byteStore({get, set: get}, options, 'test store');

  it('fails, synchronously or later, throws a TransferError that says where and why', async () => {
    const causes: [string, () => unknown][] = [
      ['throws', () => { throw new Error('no power'); }], // prettier-ignore
      ['rejects', () => Promise.reject(new Error('no power'))],
    ];
    for (const [, fail] of causes) {
      const store = failing(fail);
      const error = await rejection(
        store.get('chat'),
        TransferError,
        /get "chat" from the test store: no power/,
      );
      expect(error.cause).to.be.instanceOf(Error);
      await rejection(
        store.set('chat', bytesOf(1, 1)),
        TransferError,
        /set "chat" in the test store: no power/,
      );
    }
  });

  it('never answers throws a TransferError at its timeout', async () => {
    const store = failing(() => new Promise(() => undefined), {timeoutMs: 20});
    await rejection(store.get('chat'), TransferError, /within 20 ms/);
    await rejection(store.set('chat', bytesOf(1, 1)), TransferError, /within 20 ms/);
    expect(() => byteStore(new Map(), {timeoutMs: 0})).to.throw(InvalidArgumentError, /timeoutMs = 0/);
  });

  it('fails after its timeout causes no unhandled rejection', async () => {
    let fail: (error: Error) => void = () => undefined;
    const store = failing(() => new Promise((_, reject) => (fail = reject)), {timeoutMs: 5});
    await rejection(store.get('chat'), TransferError);
    fail(new Error('too late')); // an unhandled rejection would end the tests
    await new Promise(resolve => setTimeout(resolve, 5));
  });

  it('returns garbage throws a FormatError', async () => {
    for (const garbage of ['text', 5, {}, [1, 2]]) {
      await rejection(failing(() => garbage).get('chat'), FormatError, /expected the bytes/);
    }
    expect(await failing(() => null).get('chat')).to.equal(undefined);
    expect(await failing(() => bytesOf(3, 1).buffer).get('chat')).to.deep.equal(bytesOf(3, 1));
  });
});

describe('files of a store', () => {
  it('are the only files in their folder, even after many concurrent writes', async () => {
    const at = join(folder, 'many');
    const store = fileStore(at);
    await Promise.all(Array.from({length: 20}, (_, i) => store.set('chat', bytesOf(50_000 + i, i))));
    expect(await readdir(at)).to.deep.equal(['chat.safetensors']);
    const bytes = await readFile(join(at, 'chat.safetensors'));
    expect(
      Buffer.compare(bytes, bytesOf(bytes.length, bytes.length - 50_000)),
      'one of them, whole',
    ).to.equal(0);
  });

  it('include no leftovers of killed writers after an hour', async () => {
    const at = join(folder, 'left');
    const store = fileStore(at);
    await store.set('chat', bytesOf(1, 1));
    const left = {
      old: 'chat.safetensors.abc1.partial',
      new: 'chat.safetensors.abc2.partial',
      other: 'chat.notes',
    };
    for (const file of Object.values(left)) await writeFile(join(at, file), 'x');
    const hourAgo = Date.now() / 1000 - 3700;
    for (const file of [left.old, left.other]) await utimes(join(at, file), hourAgo, hourAgo);
    await store.set('chat', bytesOf(2, 2));
    expect((await readdir(at)).sort()).to.deep.equal(['chat.notes', 'chat.safetensors', left.new].sort());
  });

  it('name the path that blocks them', async () => {
    await writeFile(join(folder, 'file'), 'x');
    const store = fileStore(join(folder, 'file'));
    await rejection(store.set('chat', bytesOf(1, 1)), TransferError, /a file of that name is in the way/);
    await rejection(store.get('chat'), TransferError, /a part of the path is a file/);
  });
});

describe('a database of a browser', () => {
  it('that fails throws a TransferError and keeps its content', async () => {
    const factory = new IDBFactory();
    const store = await indexedDbRecipe(factory);
    await store.set('chat', bytesOf(9, 1));
    const broken = Object.assign(new IDBFactory(), {
      open: () => {
        throw new DOMException('access is denied', 'SecurityError');
      },
    });
    await rejection((await indexedDbRecipe(broken)).get('chat'), TransferError, /access is denied/);
    expect(await store.get('chat')).to.deep.equal(bytesOf(9, 1));
  });
});

describe('the private files of a browser', () => {
  it('keep the former ones if writing fails or stops', async () => {
    const fake = fakeOpfs();
    const store = await opfsRecipe(fake);
    await store.set('chat', bytesOf(9, 1));
    for (const fault of ['write', 'close'] as const) {
      fake.failAt = fault;
      await rejection(store.set('chat', bytesOf(9, 2)), TransferError, /the quota is used up/);
      await rejection(store.set('first', bytesOf(9, 2)), TransferError, /the quota is used up/);
      fake.failAt = undefined;
      expect(await store.get('chat')).to.deep.equal(bytesOf(9, 1));
      expect(await store.get('first'), 'created, but never closed').to.equal(undefined);
    }
  });
});
