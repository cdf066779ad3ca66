/** Where snapshots are kept; docs/SNAPSHOTS.md has recipes for IndexedDB, OPFS and Redis. */
export {fileStore} from './file.js';
export {type ByteStore, type GetAndSet, type StoreOptions, byteStore} from './store.js';
