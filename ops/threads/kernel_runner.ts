import {type WasmKernels, scratchArguments} from '../assembly/kernels.js';
import {control} from './control.js';
import {evenRanges} from './parts.js';
import {ThreadPool, type PoolOptions, type ScratchOfThreads} from './pool.js';

type KernelName = keyof WasmKernels;

const {mostParts} = control;

/** Runs the parts of a kernel's work on all threads there are: on the calling one until others are started. */
export class KernelRunner {
  readonly kernels: WasmKernels;
  private pool: ThreadPool | undefined;
  private isOver = false;

  constructor(private readonly where: Omit<PoolOptions, 'threads'>) {
    this.kernels = where.instance.exports as unknown as WasmKernels;
  }

  /** Threads that run parts, this one included. */
  get threads(): number {
    return this.pool?.isRunning === true ? this.pool.threads : 1;
  }

  /**
   * Starts or ends threads until there are `count`.
   *
   * @throws BackendError if they do not start: there is one then.
   */
  async setThreads(count: number): Promise<void> {
    if (count === this.threads) return;
    const former = this.pool;
    this.pool = undefined;
    await former?.stop();
    if (count === 1) return;
    const pool = await ThreadPool.start({...this.where, threads: count});
    if (this.isOver) await pool.stop();
    else this.pool = pool;
  }

  /** Ends all threads for good, those included that are starting. */
  async end(): Promise<void> {
    this.isOver = true;
    await this.setThreads(1);
  }

  /**
   * Calls a kernel once for each part and returns its results. Parts run at once and in any order: none may write what another one reads or
   * writes.
   *
   * @param parts lists of arguments, of which the last is taken first; the one for scratch memory is ignored if `scratch` is given.
   * @param scratch memory that each thread has a piece of, from `scratchOfThreads`.
   * @throws BackendError if a thread does not answer, EigenkvError if a part traps in one (see ThreadPool): results are incomplete then.
   */
  split<Name extends KernelName>(
    kernel: Name,
    parts: readonly Parameters<WasmKernels[Name]>[],
    scratch?: ScratchOfThreads,
  ): number[] {
    const scratchArgument = scratchArguments[kernel];
    const {pool} = this;
    if (parts.length > 1 && pool?.isRunning === true) {
      if (parts.length <= mostParts) return pool.run({kernel, parts, scratchArgument, scratch});
      return evenRanges(parts.length, Math.ceil(parts.length / mostParts)).flatMap(({from, to}) =>
        pool.run({kernel, parts: parts.slice(from, to), scratchArgument, scratch}),
      );
    }
    const run = this.kernels[kernel] as (...values: number[]) => number | undefined;
    return parts.map(part => {
      const values: number[] = part.slice();
      if (scratch !== undefined) values[scratchArgument!] = scratch.address;
      return Reflect.apply(run, undefined, values) ?? 0;
    });
  }
}
