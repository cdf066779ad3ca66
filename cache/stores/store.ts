import * as v from 'valibot';
import {EigenkvError, FormatError, InvalidArgumentError, TransferError} from '../../base/errors.js';
import {isShared} from '../../base/shared_memory.js';
import {checkOptions, positiveNumber} from '../../base/options.js';

/** Bytes stored under names: where snapshots are kept. `byteStore` makes one of anything that has `get` and `set`. */
export interface ByteStore {
  /**
   * The bytes stored under a name, undefined if there are none.
   * @throws TransferError if the store fails or takes too long; FormatError if it returns anything but bytes.
   */
  get(name: string): Promise<Uint8Array | undefined>;
  /**
   * Stores bytes under a name and replaces those that were there.
   * @throws TransferError if the store fails or takes too long. The store may then hold the old bytes or the new ones.
   */
  set(name: string, bytes: Uint8Array): Promise<void>;
}

/** What `byteStore` makes a store of: a `Map`, a database client. Either function may return a promise. */
export interface GetAndSet {
  /** Bytes (a Uint8Array or its buffer), or null or undefined if there are none. */
  get(name: string): unknown;
  /** @param bytes a copy that no other thread shares, alone in its buffer. */
  set(name: string, bytes: Uint8Array<ArrayBuffer>): unknown;
}

export interface StoreOptions {
  /** Milliseconds after which a store that has not answered counts as failed. Default 60,000. */
  readonly timeoutMs?: number;
}

const schema = v.strictObject({timeoutMs: v.optional(positiveNumber, 60_000)});

/** Names that every store can hold and that lead to no other folder. */
const plainName = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

/**
 * A store made of anything that gets and sets by name. Its errors become typed ones, what it returns must be bytes, and it
 * must answer in time.
 *
 *     const store = byteStore(new Map());
 *
 * @param what the name of the store in error messages.
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
        `The ${what} returned ${typeof given === 'object' ? 'an object' : `a ${typeof given}`} for "${name}"; expected the bytes ` +
          'that were set. Either something else writes under this name, or the client decodes bytes to text.',
      );
    },
    async set(name, bytes) {
      const action = `set "${plain(name)}" in the ${what}`;
      await inTime(() => store.set(name, alone(bytes)), timeoutMs, action);
    },
  };
}

/** Some stores refuse shared memory, and some store the whole buffer of a view. */
function alone(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const {buffer} = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes);
}

function plain(name: string): string {
  if (plainName.test(name)) return name;
  throw new InvalidArgumentError(
    `"${name}" cannot be the name of a snapshot: use 1 to 200 letters, digits, ".", "_" and "-", and do not begin with ".".`,
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
