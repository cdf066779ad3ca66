import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {FormatError, ModelError} from '../../../base/errors.js';
import {loadModel} from '../../../models/load.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {rejection} from '../../base/files/rejection.js';
import {setHalf} from '../../support/random_blocks.js';
import {type RandomModel, randomGgufBytes} from '../../support/random_gguf.js';
import {expectNoLeak} from '../../support/tensors.js';

const sizes: RandomModel = {
  ...{dim: 256, hiddenDim: 256, depths: 1, heads: 4, kvHeads: 4, vocabSize: 261},
  dtypeOf: () => 'Q4_0',
};

const kernel = 'blk.0.ffn_up.weight';

/** A file of one dtype whose kernel has, in block `block`, a scale or minimum of these bits. */
async function damaged(dtype: string, block: number, index: 0 | 1, bits: number): Promise<Blob> {
  const edit = (tensor: string, bytes: Uint8Array) => {
    if (tensor === kernel) setHalf(bytes, dtype, block, index, bits);
  };
  return new Blob([await randomGgufBytes({...sizes, dtypeOf: () => dtype, edit})]);
}

const [nan, infinity, large] = [0x7e00, 0xfc00, 0x7bff]; // NaN, -infinity, 65,504

describe('Weights that are not numbers', () => {
  before(() => useBackend('wasm'));

  const settings = ['asStored', 'packed4', 'float32'] as const;
  for (const [dtype, block, index, bits, first] of [
    ['Q4_0', 9, 0, nan, 9 * 32],
    ['Q4_1', 9, 1, infinity, 9 * 32],
    ['Q5_0', 9, 0, infinity, 9 * 32],
    ['Q5_1', 9, 1, nan, 9 * 32],
    ['Q8_0', 9, 0, nan, 9 * 32],
    ['Q4_K', 3, 1, nan, 3 * 256],
    ['Q5_K', 3, 0, nan, 3 * 256],
    ['Q6_K', 3, 0, infinity, 3 * 256],
  ] as const) {
    it(`are refused in ${dtype}, by tensor and index, and nothing stays`, async () => {
      const file = await damaged(dtype, block, index, bits);
      await loadModel(new Blob([await randomGgufBytes({...sizes, dtypeOf: () => dtype})])).then(loaded => {
        loaded.dispose();
      });
      for (const weights of settings) {
        await expectNoLeak(async () => {
          const {message} = await rejection(
            loadModel(file, {weights}),
            ModelError,
            /Tensor "blk\.0\.ffn_up\.weight" holds -?(NaN|Infinity) at index \d+; the weights are damaged/,
          );
          const at = Number(/index (\d+)/.exec(message)![1]);
          expect(at).to.be.within(first, first + (dtype.endsWith('K') ? 255 : 31));
        });
      }
    });
  }

  for (const [dtype, index] of [
    ['Q4_0', 0],
    ['Q4_K', 0],
    ['Q4_K', 1],
    ['Q6_K', 0],
  ] as const) {
    it(`are named if ${dtype} has a ${index === 0 ? 'scale' : 'minimum'} beyond float16, and load as float32`, async () => {
      const file = await damaged(dtype, dtype.endsWith('K') ? 3 : 3 * 8, index, large);
      await rejection(
        loadModel(file),
        ModelError,
        /Tensor "blk\.0\.ffn_up\.weight" has weights of output 3 .* \{weights: 'float32'\}/,
      );
      const loaded = await loadModel(file, {weights: 'float32'});
      loaded.dispose();
    });
  }

  it('are refused in 16 bits', async () => {
    for (const dtype of ['F16', 'BF16']) {
      const bytes = await randomGgufBytes({...sizes, dtypeOf: () => dtype});
      // the tensor's last number, before the vector that follows it
      bytes.fill(0xff, bytes.length - 2 * 256 * 256 - 4 * 256 - 2, bytes.length - 2 * 256 * 256 - 4 * 256);
      await expectNoLeak(async () => {
        await rejection(
          loadModel(new Blob([bytes]), {weights: 'asStored'}),
          ModelError,
          /Tensor "blk\.0\.ffn_up\.weight" holds NaN at index 65535/,
        );
      });
    }
  });

  it('are refused as float32 that 8 bits and a scale cannot hold', async () => {
    const bytes = await randomGgufBytes({...sizes, dtypeOf: () => 'F32'});
    const last = bytes.length - 4 * 256 * 256 - 4 * 256 - 4;
    new DataView(bytes.buffer).setFloat32(last, 1e8, true);
    for (const weights of ['packed8', 'packed4'] as const) {
      await rejection(
        loadModel(new Blob([bytes]), {weights}),
        ModelError,
        /"blk\.0\.ffn_up\.weight" has weights of output 255 whose scale or minimum is beyond 65,504/,
      );
    }
    expect((await loadModel(new Blob([bytes]))).dispose()).to.equal(undefined);
  });
});

describe('A file that ends early', () => {
  before(() => useBackend('wasm'));

  it('is refused before it is read, and while it is', async () => {
    const bytes = await randomGgufBytes(sizes);
    await expectNoLeak(async () => {
      await rejection(
        loadModel(new Blob([bytes.subarray(0, bytes.length - 2000)])),
        FormatError,
        /ends at byte \d+, but the file has/,
      );
    });
    expect(tf.getBackend()).to.equal('wasm');
  });
});
