import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {BackendError} from '../../../base/errors.js';
import {kernelsBinary} from '../../../ops/backends/kernel_builds.js';
import {linkKernels} from '../../../ops/backends/link_kernels.js';
import {ThreadPool} from '../../../ops/threads/pool.js';
import type {Thread} from '../../../ops/threads/start_thread.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const pages = 4;
const numbers = 4096;

/** A memory of its own, with sine waves at 0 and room at `numbers`, and the kernels on it. */
function makeMemory() {
  const memory = new WebAssembly.Memory({initial: pages, maximum: 64, shared: true});
  const floats = new Float32Array(memory.buffer);
  for (let i = 0; i < numbers; i++) floats[i] = Math.sin(i);
  return {memory, floats, ...linkKernels(kernelsBinary(), memory)};
}

/** Parts of the kernel `hadamard`, of so many numbers each. */
function parts(count: number, each = 64): number[][] {
  return Array.from({length: count}, (_, i) => [4 * i * each, 4 * (numbers + i * each), each, each]);
}

describe('a pool of threads', () => {
  for (const threads of [2, 3, 8]) {
    it(`runs every part of a job once, on ${threads} threads`, async () => {
      const {memory, floats, instance, module} = makeMemory();
      const pool = await ThreadPool.start({memory, instance, module, threads});
      try {
        const hadamard = instance.exports['hadamard'] as (...values: number[]) => void;
        for (const values of parts(64)) hadamard(...values);
        const expected = floats.slice(numbers, 2 * numbers);
        for (let round = 0; round < 200; round++) {
          floats.fill(0, numbers, 2 * numbers);
          pool.run({kernel: 'hadamard', parts: parts(1 + (round % 64))});
          const count = 64 * (1 + (round % 64));
          expect(floats.slice(numbers, numbers + count)).to.deep.equal(expected.slice(0, count));
          expect(floats.slice(numbers + count, 2 * numbers).every(x => x === 0)).to.be.true;
        }
      } finally {
        await pool.stop();
      }
    });
  }

  it('returns what the kernel returned for each part, and gives each thread scratch memory of its own', async () => {
    const {memory, floats, instance, module} = makeMemory();
    const pool = await ThreadPool.start({memory, instance, module, threads: 2});
    try {
      floats[5] = NaN;
      const job = {kernel: 'allFinite', parts: [[0, 5], [0, 6], [24, 5]]}; // prettier-ignore
      expect(pool.run(job)).to.deep.equal([1, 0, 1]);
      floats[5] = 1;
      // roundRows writes its result to its scratch memory: whoever ran a part, it is in one of the two
      const scratch = {address: 4 * numbers, bytes: 1024};
      floats.fill(0, numbers);
      pool.run({
        kernel: 'roundRows',
        parts: Array.from({length: 8}, () => [0, -1, 1, 32, 0]),
        ...{scratch, scratchArgument: 1},
      });
      const written = [0, 1].map(thread => floats.slice(numbers + 256 * thread, numbers + 256 * thread + 16));
      expect(written.some(own => own.some(x => x !== 0))).to.be.true;
      expect(floats.slice(numbers + 512).every(x => x === 0)).to.be.true;
    } finally {
      await pool.stop();
    }
  });

  it('says that a part trapped, and goes on', async () => {
    const {memory, instance, module} = makeMemory();
    const pool = await ThreadPool.start({memory, instance, module, threads: 2});
    try {
      const outside = 64 * 65_536 + 4096;
      for (let round = 0; round < 50; round++) {
        const bad = [0, outside, 64, 64];
        const run = () => pool.run({kernel: 'hadamard', parts: [bad, bad, ...parts(2)]});
        expect(run).to.throw(Error, /out of bounds|outside of its memory/);
        pool.run({kernel: 'hadamard', parts: parts(4)});
      }
      // wherever it was taken: parts that the caller leaves to the other one
      expect(pool.isRunning).to.be.true;
    } finally {
      await pool.stop();
    }
  });

  it('does all by itself once its threads were killed between two jobs', async () => {
    const {memory, floats, instance, module} = makeMemory();
    const pool = await ThreadPool.start({memory, instance, module, threads: 3});
    const {others} = pool as unknown as {others: readonly Thread[]};
    await Promise.all(others.map(thread => thread.terminate()));
    for (let round = 0; round < 20; round++) {
      floats.fill(0, numbers, 2 * numbers);
      pool.run({kernel: 'hadamard', parts: parts(8)});
      expect(floats.subarray(numbers, numbers + 512).every(x => x !== 0)).to.be.true;
    }
    await pool.stop();
  });

  it('gives up a thread that never ends its part: a BackendError, and it takes no more jobs', async () => {
    const memory = new WebAssembly.Memory({initial: 1, maximum: 64, shared: true});
    const module = new WebAssembly.Module(stallingModule);
    const instance = new WebAssembly.Instance(module, {env: {memory}});
    const pool = await ThreadPool.start({memory, instance, module, threads: 2, patience: 200});
    // the caller's scratch memory is at 0, where this kernel ends at once
    const job = {
      kernel: 'stall',
      parts: Array.from({length: 64}, () => [0]),
      ...{scratch: {address: 0, bytes: 64}, scratchArgument: 0},
    };
    expect(() => {
      for (;;) pool.run(job); // until the other thread takes a part
    }).to.throw(BackendError, /did not answer within 0.2 s/);
    expect(pool.isRunning).to.be.false;
    await pool.stop();
  });

  it('says why a thread does not start, and leaves none', async () => {
    const {instance, module} = makeMemory();
    const other = {memory: {} as WebAssembly.Memory, instance, module, threads: 2};
    const fault = await ThreadPool.start(other).catch((error: unknown) => error);
    expect(fault).to.be.instanceOf(BackendError);
    expect((fault as Error).message).to.match(/^A thread did not start: .*memory/i);
  });

  it('lets the process end by itself', () => {
    const script = `
      import {useBackend} from './ops/backends/use_backend.js';
      await useBackend('wasm', {threads: 2});
      console.log('started');`;
    const {stdout, status} = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', script],
      {cwd: root, encoding: 'utf8', timeout: 60_000},
    );
    expect(status).to.equal(0);
    expect(stdout).to.equal('started\n');
  });
});

/** (module (import "env" "memory" (memory 1 64 shared)) (func (export "stall") (param i32) (loop (br_if 0 (local.get 0))))) */
const stallingModule = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 1, 0x7f, 0],
  ...[2, 16, 1, 3, ...ascii('env'), 6, ...ascii('memory'), 2, 3, 1, 64, 3, 2, 1, 0],
  ...[7, 9, 1, 5, ...ascii('stall'), 0, 0, 10, 11, 1, 9, 0, 3, 0x40, 0x20, 0, 0x0d, 0, 0x0b, 0x0b],
]);

function ascii(text: string): number[] {
  return [...Buffer.from(text)];
}
