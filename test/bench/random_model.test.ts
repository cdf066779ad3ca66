import {expect} from 'chai';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import {randomTypes} from '../../bench/support/random_blocks.js';
import {type Shape, writeRandomModel} from '../../bench/support/random_model.js';
import {loadModel} from '../../models/load.js';
import {saveModel} from '../../models/save.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {logitsOf} from '../models/architectures/tiny_models.js';

const shape: Shape = {
  ...{dim: 256, depths: 3, heads: 4, kvHeads: 2, headDim: 64, hiddenDim: 512, vocabSize: 2100},
  ...{tied: true, theta: 10_000},
};

describe('models with random weights', () => {
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-random-'));
  });
  after(() => rm(folder, {recursive: true}));

  const typesIn = async (path: string) => {
    const file = await openTensorPath(path);
    await file.close();
    return Object.fromEntries([...file.tensors.values()].map(({name, dtype}) => [name, dtype]));
  };

  for (const type of randomTypes) {
    it(`of ${type} load, give sensible logits, and are saved and loaded again without a change`, async () => {
      const path = join(folder, `${type}.gguf`);
      await writeRandomModel(path, {shape, type});
      const original = await loadModel(path);
      const ids = original.tokenizer.encode('The history of the sea');
      const logits = Array.from(await logitsOf(original.model, ids));
      const deviation = Math.sqrt(logits.reduce((sum, x) => sum + x * x, 0) / logits.length);
      expect(deviation).to.be.within(1, 4); // NaN is not
      const again = join(folder, `${type}_again.gguf`);
      await saveModel(original, again);
      const loaded = await loadModel(again);
      expect(Array.from(await logitsOf(loaded.model, ids))).to.deep.equal(logits);
      loaded.dispose();
      original.dispose();
    });
  }

  it('have the types where llama.cpp puts them', async () => {
    const path = join(folder, 'types.gguf');
    await writeRandomModel(path, {shape: {...shape, depths: 8, hasBiases: true, tied: false}, type: 'Q4_K'});
    const types = await typesIn(path);
    expect(types).to.include({
      'token_embd.weight': 'Q4_K',
      'output.weight': 'Q6_K',
      'blk.0.attn_q.bias': 'F32',
    });
    const larger = Array.from({length: 8}, (_, depth) => types[`blk.${depth}.ffn_down.weight`] === 'Q6_K');
    expect(larger).to.deep.equal([true, false, false, true, false, false, true, true]);
    await writeRandomModel(path, {shape: {...shape, dim: 192, heads: 3, kvHeads: 3}, type: 'Q4_K'});
    expect(await typesIn(path)).to.include({
      'token_embd.weight': 'Q8_0',
      'blk.0.attn_q.weight': 'Q5_0',
      'blk.1.ffn_down.weight': 'Q4_K',
    });
  });

  it('are the same for the same seed', async () => {
    const bytes = async (seed: number) => {
      const path = join(folder, 'seed.gguf');
      await writeRandomModel(path, {shape, type: 'Q4_0', seed});
      return readFile(path);
    };
    const first = await bytes(1);
    expect(Buffer.compare(first, await bytes(1))).to.equal(0);
    expect(Buffer.compare(first, await bytes(2))).to.not.equal(0);
  });
});
