import {type ByteStore, type StoreOptions, byteStore} from './store.js';

/** Node's class `Buffer`, where its types are installed. */
type BufferClass = typeof globalThis extends {readonly Buffer: infer Class} ? Class : unknown;

/** A `Buffer`, the same way. */
type BufferLike = BufferClass extends abstract new (...args: never) => infer Instance ? Instance : Uint8Array;

/** A client as `ioredis` and `iovalkey` have it. */
export interface IoRedisClient {
  getBuffer(key: string): Promise<Uint8Array | null>;
  set(key: string, bytes: BufferLike): Promise<unknown>;
}

/** A client as `redis` (and `@redis/client`) has it, from version 5 on. */
export interface NodeRedisClient {
  withTypeMapping(mapping: {36: BufferClass}): {get(key: string): Promise<unknown>};
  set(key: string, bytes: BufferLike): Promise<unknown>;
}

export interface RedisOptions extends StoreOptions {
  /** What keys begin with. Default "eigenkv:". */
  readonly prefix?: string;
}

/** How the protocol marks text of any bytes (`$`). */
const blobString = 36;

/**
 * A Redis or Valkey server, through a client of yours, which stays yours to connect and to close. A snapshot is one value,
 * set at once; servers take up to 512 MB (`proto-max-bulk-len`).
 *
 *     const store = redisStore(new Redis('redis://localhost'));   // of ioredis
 */
export function redisStore(
  client: IoRedisClient | NodeRedisClient,
  {prefix = 'eigenkv:', ...options}: RedisOptions = {},
): ByteStore {
  const values = {
    get: (name: string) =>
      'getBuffer' in client
        ? client.getBuffer(prefix + name)
        : client.withTypeMapping({[blobString]: Buffer}).get(prefix + name),
    set: (name: string, bytes: Uint8Array) =>
      client.set(prefix + name, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
  };
  return byteStore(values, options, 'Redis server');
}
