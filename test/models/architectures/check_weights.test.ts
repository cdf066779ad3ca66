import {expect} from 'chai';
import {checkedWeights} from '../../../models/formats/check_weights.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {architectureOf} from '../../../models/architectures/index.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';
import {ModelError} from '../../../base/errors.js';
import {tinyConfig} from './tiny_models.js';

/** A file that holds what a model of this config needs, and tensors of these names besides. */
function fileFor(config: ModelConfig, further: readonly string[] = []): TensorFile {
  const needed = architectureOf(config).hubWeights(config);
  const all = [...needed, ...further.map(tensor => ({tensor, shape: [1]}))];
  return {
    format: 'safetensors',
    metadata: new Map(),
    tensors: new Map(
      all.map(({tensor, shape}) => [tensor, {name: tensor, shape, dtype: 'F32', byteLength: 0}]),
    ),
    readFloat32: () => Promise.reject(new Error('Nothing is to be read here.')),
    readAsStored: () => Promise.reject(new Error('Nothing is to be read here.')),
    readBytes: () => Promise.reject(new Error('Nothing is to be read here.')),
    close: () => Promise.resolve(),
  };
}

describe('the tensors of a file', () => {
  /** How many weights there are, and what was said. */
  function checked(config: ModelConfig, further: readonly string[]): [weights: number, warnings: string[]] {
    const warnings: string[] = [];
    const weights = checkedWeights(fileFor(config, further), config, message => warnings.push(message));
    return [weights.length, warnings];
  }

  it('may include what is not needed', async () => {
    const tied = await tinyConfig('llama_rope_llama3');
    const buffers = [
      'model.layers.0.self_attn.rotary_emb.inv_freq',
      'model.rotary_emb.inv_freq',
      'model.rotary_emb.cos_cached',
      'model.position_ids',
      'position_ids',
      'model.embeddings.position_ids',
    ];
    expect(checked(tied, [...buffers, 'lm_head.weight'])).to.deep.equal([2 * 9 + 2, []]);
    const gpt2 = await tinyConfig('gpt2');
    const masks = ['transformer.h.0.attn.bias', 'h.1.attn.bias', 'transformer.h.0.attn.masked_bias'];
    expect(checked(gpt2, [...masks, 'position_ids', 'lm_head.weight'])).to.deep.equal([3 * 12 + 4, []]);
    const untied = {...gpt2, tiedEmbeddings: false};
    expect(checked(untied, [])).to.deep.equal([3 * 12 + 5, []]);
  });

  it('are left out where the model has no place for them, with a warning that names them', async () => {
    const tied = await tinyConfig('llama_rope_llama3');
    const norm = 'model.layers.0.self_attn.k_norm.weight';
    const [weights, warnings] = checked(tied, [norm, 'extra.inv_freqs']);
    expect(weights).to.equal(2 * 9 + 2);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.include(
      `2 tensors that a model of this config has no place for: "${norm}", "extra.inv_freqs".`,
    );
    const many = Array.from({length: 1000}, (_, i) => `extra.${i}`);
    const [, [long]] = checked(tied, many);
    expect(long).to.include('"extra.7" and 992 more');
    expect(long!.length).to.be.below(2000);
  });

  it('must include the output head where it is not the embedding', async () => {
    const config = {...(await tinyConfig('llama_rope_llama3')), tiedEmbeddings: false};
    const file = fileFor({...config, tiedEmbeddings: true});
    expect(() => checkedWeights(file, config)).to.throw(
      ModelError,
      /lack the tensor "lm_head.weight".*tie_word_embeddings/,
    );
  });
});
