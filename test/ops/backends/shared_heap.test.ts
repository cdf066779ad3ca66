import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {kernelsBinary, relaxedKernelsBinary} from '../../../ops/backends/kernel_builds.js';
import {linkKernels} from '../../../ops/backends/link_kernels.js';
import {importSharedMemory} from '../../../ops/backends/share_memory.js';
import {hasRelaxedSimd} from '../../../ops/backends/relaxed_simd.js';
import {skip} from '../../support/skip.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const memoryOf = (shared: boolean, maximum = 65_536) => new WebAssembly.Memory({initial: 2, maximum, shared});
const binaries = {plain: kernelsBinary, relaxed: relaxedKernelsBinary};

describe('the kernels on a heap that threads share', () => {
  for (const [name, binaryOf] of Object.entries(binaries)) {
    it(`are one binary for both kinds of memory, ${name} SIMD: a byte of its import says which`, () => {
      const [before, after] = [binaryOf(), binaryOf()];
      importSharedMemory(after);
      const changed = [...before.keys()].filter(at => before[at] !== after[at]);
      expect(changed).to.have.length(1);
      expect([before[changed[0]!], after[changed[0]!]]).to.deep.equal([1, 3]);
      const name = before.subarray(changed[0]! - 7, changed[0]! - 1);
      expect(Buffer.from(name).toString()).to.equal('memory');
    });

    it(`link to either, ${name} SIMD`, function () {
      if (name === 'relaxed' && !hasRelaxedSimd()) skip(this, 'Node 20 has relaxed SIMD behind a flag');
      for (const shared of [false, true]) {
        const {exports} = linkKernels(binaryOf(), memoryOf(shared)).instance;
        expect(exports['attend']).to.be.a('function');
      }
    });
  }

  it('compute alike in either', () => {
    const [plain, shared] = [false, true].map(isShared => {
      const memory = memoryOf(isShared);
      const {exports} = linkKernels(kernelsBinary(), memory).instance;
      const numbers = new Float32Array(memory.buffer, 1024, 128);
      numbers.set(Float32Array.from({length: 64}, (_, i) => Math.sin(i)));
      (exports['hadamard'] as (x: number, out: number, numbers: number, block: number) => void)(
        1024,
        1280,
        64,
        64,
      );
      return [...numbers.slice(64)];
    });
    expect(shared).to.deep.equal(plain);
    expect(new Set(shared).size, 'numbers that say something').to.be.above(50);
  });

  it('refuse a memory without a maximum', () => {
    const memory = new WebAssembly.Memory({initial: 2});
    expect(() => linkKernels(kernelsBinary(), memory)).to.throw(WebAssembly.LinkError);
  });

  it('refuse to import a shared memory if the import is something else', () => {
    const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    const importOf = (...description: number[]) => [1, 1, 0x61, 1, 0x62, ...description];
    const section = (id: number, content: number[]) => [id, content.length, ...content];
    for (const content of [
      importOf(2, 0, 1), // a memory without a maximum
      importOf(2, 3, 1, 1), // one that is shared already
      importOf(0, 1, 1), // a function
      [2, ...importOf(2, 1, 1, 1).slice(1), ...importOf(2, 1, 1, 1).slice(1)],
    ]) {
      expect(() => importSharedMemory(Uint8Array.from([...header, ...section(2, content)]))).to.throw(
        WebAssembly.LinkError,
      );
    }
    expect(() => importSharedMemory(Uint8Array.from(header))).to.throw(WebAssembly.LinkError);
    // sections before it are passed by, whatever is in them, and sizes may take more bytes than they need
    const custom = [0, 0x84, 0x80, 0, 2, 2, 2, 2];
    const module = Uint8Array.from([...header, ...custom, ...section(2, importOf(2, 1, 1, 1))]);
    importSharedMemory(module);
    expect([...module.slice(-3)]).to.deep.equal([3, 1, 1]);
  });

  it('pass the tests of ops', () => {
    const files = [
      ...[
        'append',
        'attention/attend',
        'attention/attend_segments',
        'attention/causal',
        'backends/wasm_kernels',
      ],
      ...['float8', 'integer', 'linear'],
    ];
    for (const file of files) expect(existsSync(`${root}test/ops/${file}.test.ts`), file).to.equal(true);
    const {stdout} = spawnSync(
      process.execPath,
      [
        ...['node_modules/mocha/bin/mocha.js', '--reporter=json', '--require=./test/support/shared_heap.ts'],
        ...files.map(file => `test/ops/${file}.test.ts`),
      ],
      {cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 26},
    );
    const {passes, failures} = JSON.parse(stdout.slice(stdout.indexOf('{\n'))) as Record<
      'passes' | 'failures',
      {fullTitle: string; err: {message?: string}}[]
    >;
    expect(failures.map(({fullTitle, err}) => `${fullTitle}: ${err.message ?? ''}`)).to.deep.equal([]);
    expect(passes.length).to.be.above(100);
  });
});
