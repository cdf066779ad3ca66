import {execFile} from 'node:child_process';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {expect} from 'chai';
import {writeGgufFile} from '../../../base/files/write_gguf.js';
import {type RandomModel, randomGguf} from '../../support/random_gguf.js';
import {skip} from '../../support/skip.js';

/** 59 million weights. */
const sizes: RandomModel = {
  ...{dim: 1024, hiddenDim: 4096, depths: 3, heads: 16, kvHeads: 4, vocabSize: 16_000},
  dtypeOf: () => 'Q4_0',
};

// In processes of their own, whose memory nothing else takes.
describe('The memory of a process that loads a model', () => {
  let folder: string;
  before(async function () {
    if (process.platform !== 'linux') skip(this, 'only Linux tells the peak of a part of a run.');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-memory-'));
  });
  after(() => rm(folder, {recursive: true}));

  async function scenario(name: string, dtypeOf: RandomModel['dtypeOf'], setting = '') {
    const file = join(folder, 'model.gguf');
    await writeGgufFile(file, randomGguf({...sizes, dtypeOf}));
    const child = fileURLToPath(new URL('loading_memory_child.ts', import.meta.url));
    const {stdout} = await promisify(execFile)(process.execPath, [
      '--expose-gc',
      '--import',
      'tsx',
      child,
      name,
      file,
      setting,
    ]);
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
  }

  const mixed = (tensor: string) =>
    tensor.includes('attn')
      ? 'Q4_K'
      : tensor.includes('embd')
        ? 'Q8_0'
        : tensor.includes('up')
          ? 'Q6_K'
          : 'Q4_1';
  for (const [what, dtypeOf, setting] of [
    ['as the file has it', mixed, 'asStored'],
    ['in 16 bits', () => 'BF16', 'asStored'],
    ['rounded to 8 bits', () => 'F16', 'packed8'],
    ['as float32', mixed, 'float32'],
  ] as const) {
    it(`is the model's, and less than a second copy, ${what}`, async () => {
      const {bytes, weightBytes, left} = await scenario('peak', dtypeOf, setting);
      expect(left).to.equal(0);
      expect(weightBytes).to.be.above(30e6);
      expect(bytes).to.be.above(0.9 * (weightBytes as number)); // or nothing was measured
      expect(bytes).to.be.below(1.15 * (weightBytes as number) + 40e6);
    });
  }

  it('is as before if the heap has no room, with an error that says so', async () => {
    const {message, left, loads} = await scenario('full', mixed);
    expect(message).to.match(/^BackendError: tfjs' wasm heap has \d+ MiB and could not grow by the \d+ MiB/);
    expect(left, 'tensors and open files').to.deep.equal([0, 0]);
    expect(loads, 'with room again').to.equal(true);
  });
});
