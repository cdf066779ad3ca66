import {type ByteStore, type StoreOptions, byteStore} from './store.js';

/** An `IDBFactory`, where the types of browsers are there. */
type DatabaseFactory = typeof globalThis extends {readonly indexedDB: infer Factory} ? Factory : unknown;

export interface IndexedDbOptions extends StoreOptions {
  /** The database; made where it is not there. Default "eigenkv". */
  readonly database?: string;
  /** Default: the browser's. */
  readonly factory?: DatabaseFactory;
}

const objectStore = 'snapshots';

/** A database in a browser (IndexedDB). A snapshot is written in one transaction: whole, or not at all. */
export function indexedDbStore({
  database = 'eigenkv',
  factory = globalThis.indexedDB,
  ...options
}: IndexedDbOptions = {}): ByteStore {
  const inTransaction = async <T>(
    mode: IDBTransactionMode,
    request: (snapshots: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> => {
    const opened = factory.open(database, 1);
    opened.onupgradeneeded = () => opened.result.createObjectStore(objectStore);
    const db = await resultOf(opened);
    try {
      const transaction = db.transaction(objectStore, mode, {durability: 'strict'});
      const done = completionOf(transaction);
      const asked = request(transaction.objectStore(objectStore));
      await done;
      return asked.result;
    } finally {
      db.close();
    }
  };
  const stored = {
    get: (name: string) => inTransaction('readonly', snapshots => snapshots.get(name) as IDBRequest<unknown>),
    // a copy: of a view, the database would store the whole buffer
    set: (name: string, bytes: Uint8Array) =>
      inTransaction('readwrite', snapshots => snapshots.put(bytes.slice(), name)),
  };
  return byteStore(stored, options, 'database');
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the request failed'));
  });
}

function completionOf(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    // an error ends in an abort; a full disk aborts without one
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
  });
}
