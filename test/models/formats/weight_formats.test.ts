import {expect} from 'chai';
import {
  type WeightSetting,
  backendPacks,
  formatOfWeight,
  heldFormat,
} from '../../../models/formats/weight_formats.js';
import type {StoredWeight} from '../../../models/architectures/parts/architecture.js';
import type {CodedRow} from '../../../base/files/coded_row.js';
import {packedFormats} from '../../../ops/weights/formats.js';
import {encodingOf, quantizedTypes, randomBlocks} from '../../support/random_blocks.js';

const weight = (variable: string, transposed = true): StoredWeight => ({
  ...{tensor: variable, variables: [variable], shape: [64, 32], transposed},
});
const kernel = weight('attention_0/query_kernel');
const embedding = weight('embedding/embeddings', false);
const head = weight('output/kernel');

describe('The format of a weight', () => {
  it('holds the codes of its dtype: bits, groups and minima', () => {
    for (const dtype of quantizedTypes) {
      const {bits, groupSize, hasMinimum} = packedFormats[heldFormat(kernel, dtype)!];
      const {codes, scales, minima} = encodingOf(dtype).asStored!(randomBlocks(dtype, 8, 1)) as CodedRow;
      const [least, most] = bits === 4 ? [0, 15] : [-128, 127];
      expect(Math.min(...codes), dtype).to.be.at.least(least);
      expect(Math.max(...codes), dtype).to.be.at.most(most);
      expect(codes.length / scales.length, dtype).to.equal(groupSize);
      expect(minima !== undefined, dtype).to.equal(hasMinimum);
    }
  });

  it('follows the setting, the dtype and what the matrix is for', () => {
    const formats = (stored: StoredWeight, setting: WeightSetting, packs = true) =>
      ['F32', 'F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K', 'Q4_1', 'F8_E4M3']
        .map(dtype => formatOfWeight(stored, dtype, setting, packs))
        .join(' ');
    const own = 'float32 float16 bfloat16 packed8 packed8By16 packed8Min packed4 float32';
    const eight = 'packed8 packed8 packed8 packed8 packed8By16 packed8Min packed4 packed8';
    const floats = 'float32 float32 float32 float32 float32 float32 float32 float32';
    for (const stored of [kernel, embedding, head]) {
      expect(formats(stored, 'asStored')).to.equal(own);
      expect(formats(stored, 'asStored', false)).to.equal(floats);
      expect(formats(stored, 'float32')).to.equal(floats);
      expect(formats(stored, 'packed8')).to.equal(eight);
    }
    expect(formats(kernel, 'packed4')).to.equal(
      'packed4 packed4 packed4 packed4 packed4 packed4 packed4 packed4',
    );
    for (const stored of [embedding, head]) expect(formats(stored, 'packed4')).to.equal(eight);
    for (const other of ['final_norm/gain', 'positions/positions', 'attention_0/key_basis']) {
      expect(formats(weight(other), 'packed4')).to.equal(floats);
    }
  });

  it('is wider than codes that no format holds', () => {
    expect(heldFormat(kernel, 'Q2_K')).to.equal(undefined);
    expect(formatOfWeight(kernel, 'Q2_K', 'asStored', true)).to.equal('packed8');
    expect(formatOfWeight(kernel, 'Q2_K', 'asStored', false)).to.equal('float32');
    expect(formatOfWeight(kernel, 'Q2_K', 'packed4', true)).to.equal('packed4');
  });

  it('holds no codes that lie along the outputs', () => {
    const lying = weight('feed_forward_0/up_kernel', false);
    expect(formatOfWeight(lying, 'Q4_0', 'asStored', true)).to.equal('float32');
    expect(formatOfWeight(lying, 'Q4_0', 'packed8', true)).to.equal('packed8');
    expect(formatOfWeight(lying, 'F16', 'asStored', true)).to.equal('float16');
  });

  it('is float32 on backends that would unpack it for every product', () => {
    const packing = ['wasm', 'webgpu', 'cpu', 'webgl', 'tensorflow'].filter(backendPacks);
    expect(packing).to.deep.equal(['wasm', 'webgpu']);
  });
});
