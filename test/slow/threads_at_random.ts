/**
 * Starts, jobs, traps, kills, growth of memory and ends of threads at random: `npm run test:threads -- [--rounds 10000] [--seed 1]`.
 *
 * Each round does one of these to a pool of 2 to 8 threads on a heap of its own, and after each the numbers of a job have to be right, within
 * a time. At the end no thread is left, and the process ends by itself. Exit code 1 where something is not as it must be.
 */
import {readdirSync} from 'node:fs';
import {parseArgs} from 'node:util';
import {seededRandom} from '../../base/random.js';
import {BackendError, EigenkvError} from '../../base/errors.js';
import {kernelsBinary} from '../../ops/backends/kernel_builds.js';
import {linkKernels} from '../../ops/backends/link_kernels.js';
import {ThreadPool} from '../../ops/threads/pool.js';
import type {Thread} from '../../ops/threads/start_thread.js';

const {values} = parseArgs({
  options: {rounds: {type: 'string', default: '10000'}, seed: {type: 'string', default: '1'}},
});
const random = seededRandom(Number(values.seed));
const below = (count: number) => Math.floor(random() * count);
const pageBytes = 65_536;
const each = 64;

const memory = new WebAssembly.Memory({initial: 4, maximum: 4096, shared: true});
new Float32Array(memory.buffer, 0, 4096).forEach((_, i, numbers) => (numbers[i] = Math.sin(i)));
const {module, instance} = linkKernels(kernelsBinary(), memory);
const expected = expectedNumbers();
const before = tasks();
let pool = await start();

type Action = 'job' | 'trap' | 'grow' | 'restart' | 'kill' | 'killDuring';

function actionAt(x: number): Action {
  if (x < 0.55) return 'job';
  if (x < 0.7) return 'trap';
  if (x < 0.8) return 'grow';
  if (x < 0.9) return 'restart';
  return x < 0.97 ? 'kill' : 'killDuring';
}

async function start(): Promise<ThreadPool> {
  return ThreadPool.start({module, instance, memory, threads: 2 + below(7), patience: 1000});
}

/** Parts of `hadamard`, whose results go to the newest page. */
function parts(count: number): number[][] {
  const to = memory.buffer.byteLength - pageBytes;
  return Array.from({length: count}, (_, i) => [4 * i * each, to + 4 * i * each, each, each]);
}

function expectedNumbers(): Float32Array {
  const hadamard = instance.exports['hadamard'] as (...args: number[]) => void;
  for (const part of parts(64)) hadamard(...part);
  return new Float32Array(memory.buffer, memory.buffer.byteLength - pageBytes, 64 * each).slice();
}

function runJob(): void {
  const count = 1 + below(64);
  const numbers = new Float32Array(memory.buffer, memory.buffer.byteLength - pageBytes, 64 * each);
  numbers.fill(0);
  pool.run({kernel: 'hadamard', parts: parts(count)});
  const wrong = numbers.findIndex((x, i) => x !== (i < count * each ? expected[i] : 0));
  if (wrong >= 0) throw new Error(`number ${wrong} of ${count} parts is ${numbers[wrong]}`);
}

const actions: Record<Action, () => void | Promise<void>> = {
  job: runJob,
  trap: () => {
    const all = parts(2 + below(16));
    all[below(all.length)] = [0, memory.buffer.byteLength + pageBytes, each, each];
    try {
      pool.run({kernel: 'hadamard', parts: all});
    } catch (error) {
      if (error instanceof EigenkvError || error instanceof WebAssembly.RuntimeError) return;
      throw error;
    }
    throw new Error('a trap went unseen');
  },
  grow: () => {
    if (memory.buffer.byteLength < 4000 * pageBytes) memory.grow(1 + below(2));
  },
  restart: async () => {
    await pool.stop();
    pool = await start();
  },
  kill: () => someThread().terminate(),
  killDuring: () => {
    const killed = someThread().terminate();
    try {
      for (let i = 0; i < 50; i++) runJob(); // it ends in the middle of one, or between two
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
    }
    return killed;
  },
};

function someThread(): Thread {
  const {others} = pool as unknown as {others: readonly Thread[]};
  return others[below(others.length)]!;
}

/** Threads of this process, those of Node's own among them. */
function tasks(): number {
  return readdirSync('/proc/self/task').length;
}

const counts: Record<string, number> = {};
let largestWait = 0;
for (let round = 0; round < Number(values.rounds); round++) {
  const name = actionAt(random());
  counts[name] = (counts[name] ?? 0) + 1;
  const began = performance.now();
  await actions[name]();
  if (!pool.isRunning) pool = await start();
  runJob();
  largestWait = Math.max(largestWait, performance.now() - began);
  if (round % 1000 === 999) console.error(`${round + 1} rounds, ${tasks()} threads of the process`);
}
await pool.stop();
await new Promise(resolve => setTimeout(resolve, 500));
const left = tasks() - before;
console.log(JSON.stringify({...counts, longestRoundMs: Math.round(largestWait), threadsLeft: left}));
if (left > 0) process.exitCode = 1;
