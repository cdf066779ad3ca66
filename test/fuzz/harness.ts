import {expect} from 'chai';
import fc from 'fast-check';
import {EigenkvError} from '../../base/errors.js';

/** Something that reads what strangers wrote. */
export interface Reader {
  readonly name: string;
  /** Whole inputs, which are read to their end. */
  readonly whole: readonly Uint8Array[];
  readonly inputs: fc.Arbitrary<Uint8Array>;
  /** Reads all that there is to be read; throws what the package throws. */
  read(bytes: Uint8Array): Promise<unknown>;
  /** What reading may take beside twice the input and 16 MiB: the numbers of tensors, widened to float32. */
  extraBytes?(bytes: Uint8Array): number;
  /** Milliseconds that reading may take. Default 1000. */
  readonly maxMs?: number;
}

/** What became of many inputs. */
export class Tally {
  inputs = 0;
  /** Inputs that were read to the end, and refused by class of error. */
  readonly outcomes = new Map<string, number>();
  slowestMs = 0;
  largestBytes = 0;

  count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }

  toString(): string {
    const outcomes = [...this.outcomes]
      .sort(([, a], [, b]) => b - a)
      .map(([name, count]) => `${name} ${count}`);
    return (
      `${this.inputs} inputs: ${outcomes.join(', ')}; slowest ${this.slowestMs.toFixed(0)} ms, ` +
      `most memory ${(this.largestBytes / 2 ** 20).toFixed(1)} MiB`
    );
  }
}

/** Milliseconds of processor time that reading may take; not of the clock, which other processes move on as well. */
const usualMs = 1000;
const freeBytes = 16 * 2 ** 20;

/** Called with each input before it is read, so that one that never ends is known. */
export type Announce = (bytes: Uint8Array) => void;

/**
 * Reads `count` inputs: only typed errors, no more than a second or than twice its bytes and 16 MiB for each, and the
 * prototypes of all objects as they were. Fails with the smallest input found, and its seed.
 */
export async function fuzz(
  {whole, inputs, read, extraBytes, maxMs = usualMs}: Reader,
  count: number,
  seed: number,
  announce?: Announce,
): Promise<Tally> {
  const tally = new Tally();
  const attempt = async (bytes: Uint8Array) => {
    const before = held();
    const start = process.cpuUsage();
    let outcome = 'read';
    try {
      await read(bytes);
    } catch (error) {
      if (!(error instanceof EigenkvError)) throw error;
      outcome = error.name;
    }
    const {user, system} = process.cpuUsage(start);
    // a lower bound where garbage was collected meanwhile
    const taken = held() - before - 2 * bytes.length - (extraBytes?.(bytes) ?? 0);
    return {outcome, ms: (user + system) / 1000, taken};
  };
  for (const bytes of whole) await read(bytes);
  // so that what is compiled or made once is not measured
  for (const bytes of fc.sample(inputs, {seed, numRuns: 50})) await read(bytes).catch(() => undefined);
  const details = await fc.check(
    fc.asyncProperty(inputs, async bytes => {
      announce?.(bytes);
      tally.inputs++;
      const first = await attempt(bytes);
      let {ms, taken} = first;
      if (ms >= maxMs || taken >= freeBytes) {
        // once more: the compiler of V8 and its caches take time and memory where it likes
        const again = await attempt(bytes);
        [ms, taken] = [Math.min(ms, again.ms), Math.min(taken, again.taken)];
      }
      tally.count(first.outcome);
      tally.slowestMs = Math.max(tally.slowestMs, ms);
      tally.largestBytes = Math.max(tally.largestBytes, taken);
      expect(ms, 'ms').to.be.below(maxMs);
      expect(taken, 'bytes beyond twice the input').to.be.below(freeBytes);
      expectCleanPrototypes();
    }),
    {seed, numRuns: count},
  );
  if (details.failed) throw failure(details);
  return tally;
}

/** What failed, its seed, and the input as text (and as bytes, where it is none). */
function failure({
  seed,
  counterexamplePath,
  counterexample,
  errorInstance,
}: fc.RunDetails<[Uint8Array]>): Error {
  const [bytes = new Uint8Array(0)] = counterexample ?? [];
  const text = new TextDecoder().decode(bytes.subarray(0, 3000));
  const shown = text.includes('\ufffd')
    ? `base64 ${Buffer.from(bytes).toString('base64').slice(0, 4000)}`
    : text;
  return new Error(`seed ${seed}, path ${counterexamplePath ?? ''}, ${bytes.length} bytes: ${shown}`, {
    cause: errorInstance,
  });
}

function held(): number {
  const {heapUsed, external} = process.memoryUsage();
  return heapUsed + external;
}

const prototypes = [Object.prototype, Array.prototype, Function.prototype, String.prototype, Map.prototype];
const namesBefore = prototypes.map(prototype => Object.getOwnPropertyNames(prototype).join());

function expectCleanPrototypes(): void {
  expect(prototypes.map(prototype => Object.getOwnPropertyNames(prototype).join())).to.deep.equal(
    namesBefore,
  );
}
