import {BackendError, EigenkvError} from '../../base/errors.js';
import {control, controlBytes, stopped} from './control.js';
import {type Thread, startThread} from './start_thread.js';

/** A kernel's arguments for one part of its work; the scratch memory of a thread goes where `scratchArgument` says. */
export type Part = readonly number[];

/** Scratch memory: each thread has `bytes` of it, one after the other from `address` on. */
export interface ScratchOfThreads {
  readonly address: number;
  readonly bytes: number;
}

export interface Job {
  /** Name of the kernel. */
  readonly kernel: string;
  /** At most `control.mostParts`. They run at once and in any order: none may read what another one writes. */
  readonly parts: readonly Part[];
  /** Which of the arguments is the address of scratch memory. */
  readonly scratchArgument?: number | undefined;
  readonly scratch?: ScratchOfThreads | undefined;
}

export interface PoolOptions {
  /** The compiled kernels, a `WebAssembly.Module`. The package's declarations name no types of a browser, hence `object`. */
  readonly module: object;
  /** The `WebAssembly.Memory` that they work on, a shared one. */
  readonly memory: object;
  /** The caller's own instance of the module. */
  readonly instance: {readonly exports: object};
  /** Threads in all; the caller is one of them. At least 2. */
  readonly threads: number;
  /** How long a thread may take for its parts after the caller has done its own, in ms. Default 60,000. */
  readonly patience?: number;
}

type Kernel = (...values: number[]) => number | undefined;

/**
 * Threads that run kernels on one shared memory, at the caller's side: it writes the parts of a job, takes parts as the others do, and waits
 * until all are finished, without giving up its own turn. A thread asks for work for some milliseconds before it sleeps, so that
 * consecutive kernels find it awake; one that another process holds up takes fewer parts.
 */
export class ThreadPool {
  readonly threads: number;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  /** The kernels in the order of the module's exports, by which threads know them. */
  private readonly kernels: readonly Kernel[];
  private readonly indices: ReadonlyMap<string, number>;
  private isOver = false;

  private constructor(
    buffer: SharedArrayBuffer,
    private readonly others: readonly Thread[],
    {instance}: PoolOptions,
    private readonly patience: number,
  ) {
    this.threads = others.length + 1;
    this.words = new Int32Array(buffer);
    this.numbers = new Float64Array(buffer);
    this.kernels = Object.values(instance.exports) as Kernel[];
    this.indices = new Map(Object.keys(instance.exports).map((name, index) => [name, index]));
  }

  /** @throws BackendError if a thread does not start; none is left then. */
  static async start(options: PoolOptions): Promise<ThreadPool> {
    const {module, memory, threads, patience = 60_000} = options;
    const buffer = new SharedArrayBuffer(controlBytes);
    const starts = Array.from({length: threads - 1}, (_, i) =>
      startThread({control: buffer, memory, module, thread: i + 1}, Math.max(patience, startPatience)),
    );
    const settled = await Promise.allSettled(starts);
    const others = settled.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
    const fault = settled.find(result => result.status === 'rejected');
    if (fault === undefined) return new ThreadPool(buffer, others, options, patience);
    await Promise.all(others.map(thread => thread.terminate()));
    throw fault.reason;
  }

  /** Whether it takes jobs: false after `stop` and after a thread did not answer. */
  get isRunning(): boolean {
    return !this.isOver;
  }

  /**
   * Runs all parts of a job and returns what the kernel returned for each.
   *
   * @throws EigenkvError if a part trapped (all others are finished then); BackendError if a thread did not answer in time: all are
   *   ended then, and what the job wrote is incomplete.
   */
  run(job: Job): number[] {
    const {words, numbers} = this;
    const {left, unfinished, trapped, sleeping} = control.words;
    const count = job.parts.length;
    this.write(job);
    Atomics.store(words, trapped, 0);
    Atomics.store(words, unfinished, count);
    Atomics.store(words, left, count);
    if (Atomics.load(words, sleeping) > 0) Atomics.notify(words, left, count - 1);
    const failure = this.takeParts(job);
    this.awaitOthers();
    if (failure !== undefined) throw failure.error;
    if (Atomics.load(words, trapped) > 0) {
      throw new EigenkvError(`The kernel ${job.kernel} read or wrote outside of its memory in a thread.`);
    }
    return job.parts.map((_, part) => numbers[firstOf(part) + control.partNumbers - 1]!);
  }

  /** Ends the threads; resolves when they are gone. */
  async stop(): Promise<void> {
    this.isOver = true;
    Atomics.store(this.words, control.words.left, stopped);
    Atomics.notify(this.words, control.words.left);
    await Promise.all(this.others.map(thread => thread.terminate()));
  }

  private write({kernel, parts, scratchArgument = -1, scratch}: Job): void {
    const {words, numbers} = this;
    words[control.words.kernel] = this.indices.get(kernel)!;
    words[control.words.argumentCount] = parts[0]!.length;
    words[control.words.scratchArgument] = scratch === undefined ? -1 : scratchArgument;
    if (scratch !== undefined) {
      numbers[control.numbers.scratch] = scratch.address;
      numbers[control.numbers.scratchBytes] = scratch.bytes;
    }
    // loops: set and spreads take longer than some parts do
    for (let part = 0; part < parts.length; part++) {
      const values = parts[part]!;
      const first = firstOf(part);
      for (let i = 0; i < values.length; i++) numbers[first + i] = values[i]!;
    }
  }

  /** Runs parts until nobody has to take one. Returns the first error, if there is one. */
  private takeParts({kernel, parts, scratchArgument, scratch}: Job): {error: unknown} | undefined {
    const {words, numbers} = this;
    const {left, unfinished} = control.words;
    const run = this.kernels[this.indices.get(kernel)!]!;
    let failure: {error: unknown} | undefined;
    for (;;) {
      const part = Atomics.load(words, left);
      if (part === 0) return failure;
      if (Atomics.compareExchange(words, left, part, part - 1) !== part) continue;
      try {
        const values = parts[part - 1]!.slice();
        if (scratch !== undefined) values[scratchArgument!] = scratch.address;
        numbers[firstOf(part - 1) + control.partNumbers - 1] = Reflect.apply(run, undefined, values) ?? 0;
      } catch (error) {
        failure ??= {error};
      }
      Atomics.sub(words, unfinished, 1);
    }
  }

  private awaitOthers(): void {
    const {words} = this;
    const {unfinished, callerSleeps} = control.words;
    const start = performance.now();
    for (let turn = 1; turn % 256 !== 0 || performance.now() < start + briefly; turn++) {
      if (Atomics.load(words, unfinished) === 0) return;
    }
    // others may need this processor
    const end = start + this.patience;
    Atomics.store(words, callerSleeps, 1);
    try {
      for (let count; (count = Atomics.load(words, unfinished)) > 0;) {
        const rest = end - performance.now();
        if (rest <= 0) throw this.giveUp();
        if (mayWait()) Atomics.wait(words, unfinished, count, rest);
      }
    } finally {
      Atomics.store(words, callerSleeps, 0);
    }
  }

  private giveUp(): BackendError {
    this.isOver = true;
    for (const thread of this.others) void thread.terminate();
    return new BackendError(
      `A thread did not answer within ${this.patience / 1000} s: it was ended from outside, or the machine is overloaded. All threads are ` +
        'ended, and everything runs on one from now on; what was just computed is lost. ' +
        "useBackend('wasm', {threads}) starts threads anew.",
    );
  }
}

/** How long threads may take to start, in ms: on a busy machine, many at once. */
const startPatience = 30_000;

/** How long the caller asks whether the others are finished before it sleeps, in ms: waking up takes up to a tenth of one. */
const briefly = 0.5;

const firstOf = (part: number) => control.parts + part * control.partNumbers;

let waits: boolean | undefined;

/** Whether this thread may sleep: a page's main thread may not. */
function mayWait(): boolean {
  if (waits === undefined) {
    try {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
      waits = true;
    } catch {
      waits = false;
    }
  }
  return waits;
}
