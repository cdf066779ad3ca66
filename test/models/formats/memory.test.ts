import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {ModelError} from '../../../base/errors.js';
import {architectureOf} from '../../../models/architectures/index.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {checkMemory, memoryTable, modelBytes} from '../../../models/formats/memory.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {tinyConfig} from '../architectures/tiny_models.js';

/** The tensors of a GGUF file of this config, whose matrices are of one dtype. */
function fileOf(config: ModelConfig, dtype: string) {
  const weights = architectureOf(config).ggufWeights(config, 'llama');
  const tensors = new Map(
    weights.map(({tensor, shape}) => [tensor, {name: tensor, shape, dtype, byteLength: 0}]),
  );
  return {weights, file: {tensors}};
}

/** As Llama-3.2-1B: 1.24 billion weights. */
async function llama1b(): Promise<ModelConfig> {
  const sizes = {depths: 16, dim: 2048, heads: 32, kvHeads: 8, headDim: 64, hiddenDim: 8192};
  return {...(await tinyConfig('llama_rope_llama3')), ...sizes, vocabSize: 128_256};
}

/** As Llama-3.2-3B: 3.21 billion weights. */
async function llama3b(): Promise<ModelConfig> {
  return {...(await llama1b()), depths: 28, dim: 3072, heads: 24, headDim: 128};
}

const gibibytes = (bytes: number) => (bytes / 2 ** 30).toFixed(2);

describe('The memory of a model', () => {
  before(() => useBackend('wasm'));

  it('is computed before it is loaded, by setting and backend', async () => {
    const {weights, file} = fileOf(await llama1b(), 'Q4_K');
    const table = memoryTable(weights, file).map(({weights: setting, wasm, webgpu, others}) =>
      [setting, ...[wasm, webgpu, others].map(gibibytes)].join(' '),
    );
    expect(table).to.deep.equal([
      'float32 4.60 4.60 4.60',
      'asStored 0.72 0.72 4.60',
      'packed8 0.72 0.72 0.72',
      'packed4 0.72 0.72 0.72',
    ]);
    const rounded = fileOf(await llama1b(), 'BF16');
    const bytes = (setting: 'asStored' | 'packed8' | 'packed4') =>
      gibibytes(modelBytes(rounded.weights, rounded.file, setting, true));
    expect([bytes('asStored'), bytes('packed8'), bytes('packed4')]).to.deep.equal(['2.30', '1.22', '0.83']);
  });

  it('must fit into the heap of wasm; the refusal names what fits', async () => {
    const one = fileOf(await llama1b(), 'Q8_0');
    expect(() => {
      checkMemory(one.weights, one.file, 'float32', true, 0);
    }).to.throw(
      ModelError,
      /needs 4\.60 GiB with \{weights: 'float32'\}, and the wasm backend has 3\.75 GiB\. With \{weights: 'asStored'\} it needs 1\.22 GiB\./,
    );
    for (const setting of ['asStored', 'packed4'] as const)
      checkMemory(one.weights, one.file, setting, true, 0);
    const three = fileOf(await llama3b(), 'BF16');
    expect(() => {
      checkMemory(three.weights, three.file, 'asStored', true, 0);
    }).to.throw(ModelError, /needs 5\.98 GiB .* With \{weights: 'packed8'\} it needs 3\.18 GiB\./);
    const seven = fileOf({...(await llama3b()), depths: 100}, 'BF16');
    expect(() => {
      checkMemory(seven.weights, seven.file, 'packed4', true, 0);
    }).to.throw(ModelError, /has 3\.75 GiB\. Choose a smaller model, or another backend/);
    const coded = fileOf(await llama3b(), 'Q8_0');
    const beside =
      /has 3\.75 GiB, of which tensors that there are already take 600 MiB\. With \{weights: 'packed4'\} it needs .* smaller model, dispose of other models, or/;
    expect(() => {
      checkMemory(coded.weights, coded.file, 'asStored', true, 600 * 2 ** 20);
    }).to.throw(ModelError, beside);
    checkMemory(coded.weights, coded.file, 'asStored', true, 0);
    const other = tf.zeros([150 * 2 ** 20]);
    expect(() => {
      checkMemory(coded.weights, coded.file, 'asStored', true);
    }).to.throw(ModelError, /of which tensors that there are already take/);
    other.dispose();
    await useBackend('cpu');
    checkMemory(one.weights, one.file, 'float32', false, 0);
    await useBackend('wasm');
  });
});
