import {expect} from 'chai';
import {
  architectures,
  buildModel,
  configFromHub,
  registerArchitecture,
} from '../../../models/architectures/index.js';
import type {Architecture} from '../../../models/architectures/parts/architecture.js';
import {checkedWeights} from '../../../models/formats/check_weights.js';
import {fillWeights} from '../../../models/formats/fill_weights.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {expectClose} from '../../support/tensors.js';
import {type Golden, logitsOf, tinyJson, tinyPath} from './tiny_models.js';

/** Llama's layers and files under a type of their own. */
const {llama} = architectures;
const twin: Architecture = {
  ...llama,
  hubTypes: ['twin'],
  ggufTypes: ['twin'],
  fromHub: keys => ({...llama.fromHub({...keys, model_type: 'llama'}), architecture: 'twin'}),
  toHub: config => ({...llama.toHub(config), architectures: ['TwinForCausalLM'], model_type: 'twin'}),
};

describe('registerArchitecture', () => {
  it('reads, builds and writes models of an architecture from outside', async () => {
    const name = 'llama_biases';
    const keys = {...(await tinyJson<Record<string, unknown>>(name, 'config.json')), model_type: 'twin'};
    expect(() => configFromHub(keys)).to.throw(ModelError, 'eigenkv knows');
    registerArchitecture('twin', twin);
    const config = configFromHub(keys);
    expect(config.architecture).to.equal('twin');
    expect(configFromHub(twin.toHub(config))).to.deep.equal(config);

    const {ids, logits} = await tinyJson<Golden>(name, 'golden.json');
    const weights = await openTensorPath(tinyPath(name, 'model.safetensors'));
    const model = buildModel(config);
    await fillWeights(model, checkedWeights(weights, config), weights);
    await weights.close();
    await expectClose(await logitsOf(model, ids), logits.data, 1e-4);
    model.dispose();
  });

  it('refuses names and types of files that are taken', () => {
    expect(() => registerArchitecture('llama', twin)).to.throw(
      InvalidArgumentError,
      'There is an architecture "llama" already',
    );
    expect(() => registerArchitecture('other', {...twin, hubTypes: ['other', 'qwen2']})).to.throw(
      InvalidArgumentError,
      'the architecture "llama" reads files of the type "qwen2" already; leave it out of hubTypes.',
    );
    expect(() => buildModel({...configOf(), architecture: 'other'})).to.throw(ModelError, '"other"');
  });
});

const configOf = () =>
  llama.fromHub({
    ...{model_type: 'llama', vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1},
    ...{num_attention_heads: 1, rms_norm_eps: 1e-5, max_position_embeddings: 8},
  });
