import * as v from 'valibot';
import {EigenkvError, FormatError, InvalidArgumentError, TransferError} from '../../base/errors.js';
import {isShared, unshared} from '../../base/shared_memory.js';
import {checkOptions, positiveNumber} from '../../base/options.js';

/** Bytes under names: where snapshots are kept. `byteStore` makes one of anything that has `get` and `set`. */
export interface ByteStore {
  /**
   * The bytes of that name, undefined where there are none.
   * @throws TransferError where the store fails or takes too long; FormatError where it gives something else than bytes.
   */
  get(name: string): Promise<Uint8Array | undefined>;
  /**
   * Keeps bytes under a name, instead of those that were there.
   * @throws TransferError where the store fails or takes too long; what was kept before may still be there then, or these.
   */
  set(name: string, bytes: Uint8Array): Promise<void>;
}

/** What may become a store: a `Map`, a client of a database. */
export interface GetAndSet {
  get(name: string): unknown;
  set(name: string, bytes: Uint8Array): unknown;
}

export interface StoreOptions {
  /** Milliseconds after which a store that has not answered has failed. Default 60,000. */
  readonly timeoutMs?: number;
}

const schema = v.strictObject({timeoutMs: v.optional(positiveNumber, 60_000)});

/** Names are the same everywhere, and lead nowhere: no folders, no hidden files. */
const plainName = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

/**
 * A store of anything that gets and sets by name, at once or as a promise: errors become typed ones, what it gives must be
 * bytes (a Uint8Array or its buffer; null and undefined are none), and it must answer in time. What it is given to keep lies in memory
 * that no other thread shares.
 *
 *     const store = byteStore(new Map());
 *
 * @param what messages call it.
 */
export function byteStore(store: GetAndSet, options: StoreOptions = {}, what = 'store'): ByteStore {
  const {timeoutMs} = checkOptions('store', schema, options);
  return {
    async get(name) {
      const action = `get "${plain(name)}" from the ${what}`;
      const given = await inTime(() => store.get(name), timeoutMs, action);
      if (given === undefined || given === null) return undefined;
      if (given instanceof Uint8Array) return given;
      if (given instanceof ArrayBuffer || isShared(given)) return new Uint8Array(given);
      throw new FormatError(
        `The ${what} gave ${typeof given === 'object' ? 'an object' : `a ${typeof given}`} for "${name}"; expected the bytes ` +
          'that were set. Something else writes under this name, or the client decodes bytes to text.',
      );
    },
    async set(name, bytes) {
      const action = `set "${plain(name)}" in the ${what}`;
      await inTime(() => store.set(name, unshared(bytes)), timeoutMs, action);
    },
  };
}

function plain(name: string): string {
  if (plainName.test(name)) return name;
  throw new InvalidArgumentError(
    `"${name}" is no name of a snapshot: use 1 to 200 letters, digits, ".", "_" and "-", not beginning with ".".`,
  );
}

async function inTime(run: () => unknown, timeoutMs: number, action: string): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new TransferError(
          `Could not ${action} within ${timeoutMs} ms; try again, or give the store a larger timeoutMs.`,
        ),
      );
    }, timeoutMs);
  });
  try {
    return await Promise.race([Promise.resolve().then(run), tooLate]);
  } catch (error) {
    if (error instanceof EigenkvError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TransferError(`Could not ${action}: ${reason}`, {cause: error});
  } finally {
    clearTimeout(timer);
  }
}
