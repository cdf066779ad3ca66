/** Where snapshots are kept. */
export {fileStore} from './file.js';
export {type IndexedDbOptions, indexedDbStore} from './indexed_db.js';
export {type OpfsFile, type OpfsFolder, type OpfsOptions, opfsStore} from './opfs.js';
export {type IoRedisClient, type NodeRedisClient, type RedisOptions, redisStore} from './redis.js';
export {type ByteStore, type GetAndSet, type StoreOptions, byteStore} from './store.js';
