import type * as workers from 'node:worker_threads';
import {expect} from 'chai';
import {kernelsBinary} from '../../../ops/backends/kernel_builds.js';
import {linkKernels} from '../../../ops/backends/link_kernels.js';
import {KernelRunner} from '../../../ops/threads/index.js';

function makeRunner(): KernelRunner {
  const memory = new WebAssembly.Memory({initial: 4, maximum: 64, shared: true});
  return new KernelRunner({memory, ...linkKernels(kernelsBinary(), memory)});
}

/** How many threads `run` starts, and how many of them are left after it. */
async function leftBy(run: () => Promise<void>): Promise<{started: number; left: number}> {
  const builtin = process.getBuiltinModule('node:worker_threads') as {Worker: typeof workers.Worker};
  const {Worker} = builtin;
  let started = 0;
  let ended = 0;
  builtin.Worker = class extends Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      started++;
      this.once('exit', () => ended++);
    }
  };
  try {
    await run();
  } finally {
    builtin.Worker = Worker;
  }
  return {started, left: started - ended};
}

describe('the runner of kernels', () => {
  it('ends threads that are still starting', async () => {
    const runner = makeRunner();
    const result = await leftBy(async () => {
      const starting = runner.setThreads(4);
      await new Promise(resolve => setImmediate(resolve));
      await Promise.all([starting, runner.end()]);
    });
    expect(result).to.deep.equal({started: 3, left: 0});
    expect(runner.threads).to.equal(1);
  });

  it('ends those that run, and those that are asked for afterwards', async () => {
    const runner = makeRunner();
    const result = await leftBy(async () => {
      await runner.setThreads(3);
      expect(runner.threads).to.equal(3);
      await runner.end();
      await runner.setThreads(3);
    });
    expect(result).to.deep.equal({started: 4, left: 0});
    expect(runner.threads).to.equal(1);
  });
});
