import {expect} from 'chai';
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {access, constants, mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {delimiter, join} from 'node:path';
import {createInterface} from 'node:readline';
import {KVCache} from '../../../cache/kv_cache.js';
import {quantized} from '../../../cache/policies/index.js';
import {type ByteStore, byteStore} from '../../../cache/stores/index.js';
import {TransferError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';
import {runStoreRecipe} from '../../support/page_code.js';
import {skip} from '../../support/skip.js';

/** A server of its own for these tests, at a socket of its own, that writes nothing to the disk. */
class Server {
  private constructor(
    readonly path: string,
    private readonly process: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(): Promise<Server | undefined> {
    const program = await firstOf(['valkey-server', 'redis-server']);
    if (program === undefined) return undefined;
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-redis-'));
    const path = join(folder, 'socket');
    const options = ['--port', '0', '--unixsocket', path, '--save', '', '--dir', folder];
    const started = spawn(program, options, {stdio: ['ignore', 'pipe', 'ignore']});
    for await (const line of createInterface(started.stdout)) if (line.includes('eady to accept')) break;
    return new Server(path, started, folder);
  }

  /** Stops answering, as a hung machine does, or goes on. */
  pause(paused: boolean): void {
    this.process.kill(paused ? 'SIGSTOP' : 'SIGCONT');
  }

  async stop(): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
    await rm(this.folder, {recursive: true});
  }
}

describe('a Redis or Valkey server', () => {
  let server: Server;
  before(async function () {
    const started = await Server.start();
    if (started === undefined) {
      skip(this, 'there is no valkey-server and no redis-server (apt-get install redis-server)');
    }
    server = started;
  });
  after(() => (server as Server | undefined)?.stop());

  interface Connected<Client> {
    readonly store: ByteStore;
    readonly client: Client & {on(event: 'error', listener: () => void): unknown};
  }

  /** The recipes of docs/SNAPSHOTS.md, connected to this server; `close` ends the connection. */
  const clients: Record<string, () => Promise<{store: ByteStore; close: () => void}>> = {
    async ioredis() {
      const options = () => `{path: '${server.path}', retryStrategy: () => null}`;
      const {store, client} = await runStoreRecipe<Connected<{disconnect(): void}>>(
        "from 'ioredis'",
        ['store', 'client'],
        code => code.replace("'redis://localhost'", options()),
      );
      client.on('error', () => undefined);
      return {store, close: () => client.disconnect()};
    },
    async redis() {
      const options = () => `{socket: {path: '${server.path}', reconnectStrategy: false}}`;
      const {store, client} = await runStoreRecipe<Connected<{destroy(): void}>>(
        "from '@redis/client'",
        ['store', 'client'],
        code => code.replace("{url: 'redis://localhost'}", options()),
      );
      client.on('error', () => undefined);
      return {store, close: () => client.destroy()};
    },
  };

  for (const [name, connect] of Object.entries(clients)) {
    it(`keeps bytes of any value, through ${name}`, async () => {
      const {store, close} = await connect();
      expect(await store.get(`${name}.none`)).to.equal(undefined);
      const bytes = Uint8Array.from({length: 200_000}, (_, i) => i * 7);
      for (const value of [bytes, bytes.subarray(100, 356), new Uint8Array()]) {
        await store.set(name, value);
        expect(Buffer.compare((await store.get(name))!, value)).to.equal(0);
      }
      close();
    });

    it(`keeps a cache, through ${name}`, async () => {
      const {store, close} = await connect();
      const layerShape = {depth: 0, heads: 1, kvHeads: 1, dim: 8, dimV: 8};
      const cache = new KVCache([layerShape], quantized());
      await store.set('cache', await cache.save());
      const restored = await KVCache.restore((await store.get('cache'))!, [layerShape]);
      expect(restored.signature).to.equal(cache.signature);
      close();
    });

    it(`that hangs or is gone is a TransferError, through ${name}`, async () => {
      const connected = await connect();
      const store = byteStore(connected.store, {timeoutMs: 50});
      server.pause(true);
      await rejection(store.set('hung', new Uint8Array(3)), TransferError, /within 50 ms/);
      await rejection(store.get('hung'), TransferError, /within 50 ms/);
      server.pause(false);
      connected.close();
      await rejection(store.get('hung'), TransferError, /Could not get "hung" from the store/);
    });
  }
});

async function firstOf(programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
      const path = join(folder, program);
      const found = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (found) return path;
    }
  }
  return undefined;
}
