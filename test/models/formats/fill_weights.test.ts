import {existsSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {formatOf, matrixOf, numbersOf} from '../../../ops/weights/packed_variables.js';
import {buildModel, configFromGguf, configFromHub} from '../../../models/architectures/index.js';
import {gpt2} from '../../../models/architectures/gpt2.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {checkedWeights} from '../../../models/formats/check_weights.js';
import {fillWeights} from '../../../models/formats/fill_weights.js';
import {modelBytes} from '../../../models/formats/memory.js';
import {type WeightSetting, weightFormatsOf} from '../../../models/formats/weight_formats.js';
import {bytesSource} from '../../../base/files/byte_source.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {openSafetensors} from '../../../base/files/safetensors.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';
import {float16Bits} from '../../../base/files/float_formats.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {isPacked} from '../../../ops/weights/matrix.js';
import {readRow, writeRow} from '../../../ops/weights/records.js';
import {roundRows} from '../../../ops/weights/round_rows.js';
import {quantizedTypes} from '../../support/random_blocks.js';
import {type RandomModel, openRandomGguf} from '../../support/random_gguf.js';
import {randomFloats} from '../../support/random.js';
import {concat, safetensorsBytes} from '../../base/files/file_bytes.js';
import {tinyConfig, tinyModels, tinyPath} from '../architectures/tiny_models.js';

/** Heads are rotated in pairs, the vocabulary needs padding, and queries are wider than keys. */
const sizes: RandomModel = {
  ...{dim: 256, hiddenDim: 512, depths: 1, heads: 4, kvHeads: 2, vocabSize: 261},
  dtypeOf: () => 'Q4_0',
};

/** The numbers of all variables of a model filled from a file with a setting, as float32; and its packed records. */
async function filled(file: TensorFile, config: ModelConfig, setting: WeightSetting) {
  const stored = checkedWeights(file, config);
  const formats = weightFormatsOf(stored, file, setting, true);
  const model = buildModel(config, {
    kernelInitializer: 'zeros',
    formatOf: name => formats.get(name) ?? 'float32',
  });
  const before = tf.memory().numTensors;
  await fillWeights(model, stored, file);
  expect(tf.memory().numTensors).to.equal(before);
  const numbers = new Map<string, {format: string; values: Float32Array; records: Int32Array}>();
  let bytes = 0;
  for (const variable of model.weights) {
    const matrix = matrixOf(variable);
    const records = isPacked(matrix) ? ((await matrix.records.data()) as Int32Array) : new Int32Array(0);
    const values = await numbersOf(variable);
    numbers.set(variable.originalName, {format: formatOf(variable), values: values.slice(), records});
    bytes += 4 * (isPacked(matrix) ? matrix.records.size : matrix.size);
  }
  model.dispose();
  // variables that share a tensor are padded one by one
  const shared = stored.reduce((sum, {variables}) => sum + variables.length - 1, 0);
  const estimate = modelBytes(stored, file, setting, true);
  expect(bytes).to.be.within(estimate, estimate + shared * 8 * 4 * config.dim);
  return numbers;
}

/** Compares all weights, within `bound` times the largest of a variable. */
function expectWeights(
  got: Awaited<ReturnType<typeof filled>>,
  wanted: Awaited<ReturnType<typeof filled>>,
  bound: number,
) {
  expect([...got.keys()].sort()).to.deep.equal([...wanted.keys()].sort());
  for (const [name, {values}] of wanted) {
    const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    const own = got.get(name)!.values;
    expect(own.length, name).to.equal(values.length);
    for (let i = 0; i < values.length; i++) {
      if (Math.abs(own[i]! - values[i]!) > bound * most) expect(own[i], `${name} ${i}`).to.equal(values[i]);
    }
  }
}

describe('fillWeights', () => {
  before(() => useBackend('wasm'));

  for (const dtype of quantizedTypes) {
    it(`keeps the blocks of ${dtype}`, async () => {
      const file = await openRandomGguf({...sizes, dtypeOf: () => dtype});
      const config = await configFromGguf(file);
      const packed = await filled(file, config, 'asStored');
      const floats = await filled(file, config, 'float32');
      expectWeights(packed, floats, /K$|XS$/.test(dtype) ? 2 ** -9 : 0);
      for (const [name, {format}] of packed)
        expect(format === 'float32', name).to.equal(!/kernel|embed/.test(name));
    });
  }

  for (const name of tinyModels) {
    for (const kind of ['model.safetensors', 'model.gguf']) {
      if (!existsSync(tinyPath(name, kind))) continue; // not every tiny model is in both formats
      it(`rounds ${name} from ${kind} to 8 and 4 bits`, async () => {
        const file = await openTensorPath(tinyPath(name, kind));
        const config = kind === 'model.gguf' ? await configFromGguf(file) : await tinyConfig(name);
        const floats = await filled(file, config, 'float32');
        expectWeights(await filled(file, config, 'packed8'), floats, 1 / 200);
        expectWeights(await filled(file, config, 'packed4'), floats, 1 / 10);
        await file.close();
      });
    }
  }

  for (const dtype of ['F16', 'BF16'] as const) {
    it(`keeps ${dtype} kernels that lie as inputs by outputs, fused, odd, in several pieces`, async () => {
      const {file, config} = await oddGpt2(dtype);
      const floats = await filled(file, config, 'float32');
      const packed = await filled(file, config, 'asStored');
      expectWeights(packed, floats, 0);
      const format = dtype === 'F16' ? 'float16' : 'bfloat16';
      expect(packed.get('attention_0/key_kernel')!.format).to.equal(format);
      expect(packed.get('embedding/embeddings')!.format).to.equal(format);
      expect(packed.get('positions/positions')!.format).to.equal('float32');
      expectWeights(await filled(file, config, 'packed8'), floats, 1 / 200);
    });
  }

  it('rounds rows of outputs and of inputs alike', async () => {
    const {file, config} = await oddGpt2('F16');
    for (const setting of ['packed8', 'packed4'] as const) {
      const got = (await filled(file, config, setting)).get('feed_forward_0/up_kernel')!;
      const kernel = (await filled(file, config, 'float32')).get('feed_forward_0/up_kernel')!.values;
      const outputs = 2300;
      const blocks = Math.ceil(500 / 32);
      const bytes = new Uint8Array(got.records.buffer, got.records.byteOffset, got.records.byteLength);
      for (const output of [0, 1234, outputs - 1]) {
        const row = Float32Array.from({length: 500}, (_, input) => kernel[input * outputs + output]!);
        const expected = new Uint8Array(bytes.length);
        writeRow(expected, setting, blocks, output, roundRows(row, 500, setting));
        expect(readRow(bytes, setting, blocks, output).subarray(0, 500)).to.deep.equal(
          readRow(expected, setting, blocks, output).subarray(0, 500),
        );
      }
    }
  });

  it('gives the same records on a backend whose memory is not written in place', async () => {
    const model: RandomModel = {...sizes, dtypeOf: name => (name.includes('ffn') ? 'Q6_K' : 'Q4_1')};
    const file = await openRandomGguf(model);
    const config = await configFromGguf(file);
    const onWasm = await filled(file, config, 'asStored');
    await useBackend('cpu');
    try {
      const onCpu = await filled(file, config, 'asStored');
      for (const [name, {format, records, values}] of onWasm) {
        expect(onCpu.get(name)!.records, name).to.deep.equal(records);
        if (format === 'float32') expect(onCpu.get(name)!.values, name).to.deep.equal(values);
      }
    } finally {
      await useBackend('wasm');
    }
  });
});

/** A GPT-2 of 500 numbers per token and 61 tokens, whose kernels do not divide into records. */
async function oddGpt2(dtype: 'F16' | 'BF16'): Promise<{file: TensorFile; config: ModelConfig}> {
  const config = configFromHub({
    ...{
      model_type: 'gpt2',
      vocab_size: 61,
      n_embd: 500,
      n_layer: 1,
      n_head: 4,
      n_positions: 32,
      n_inner: 2300,
    },
    layer_norm_epsilon: 1e-5,
  });
  let end = 0;
  const pieces: Uint8Array[] = [];
  const entries = gpt2.hubWeights(config).map(({tensor, shape}, seed) => {
    const count = shape.reduce((product, axis) => product * axis, 1);
    const values = randomFloats(seed + 1, count, 0.1);
    const halves =
      dtype === 'F16'
        ? Uint16Array.from(values, float16Bits)
        : Uint16Array.from(new Uint32Array(values.buffer), word => word >>> 16);
    pieces.push(new Uint8Array(halves.buffer));
    const entry = {dtype, shape, data_offsets: [end, end + 2 * count]};
    end += 2 * count;
    return [tensor, entry];
  });
  const bytes = safetensorsBytes(Object.fromEntries(entries), new Uint8Array(concat(...pieces)));
  return {file: await openSafetensors(bytesSource(bytes)), config};
}
