import {expect} from 'chai';
import fc from 'fast-check';
import {readFile} from 'node:fs/promises';
import {ropeFromHub, ropeToHub} from '../../../models/formats/hub_rope.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {
  architectureOf,
  buildModel,
  configFromGguf,
  configFromHub,
} from '../../../models/architectures/index.js';
import type {MetadataValue, TensorFile} from '../../../base/files/tensor_file.js';
import {ModelError} from '../../../base/errors.js';
import {type RopeScaling, ropeFrequencies} from '../../../ops/rotate/rope.js';
import {rejection} from '../../base/files/rejection.js';
import {tinyConfig, tinyJson, tinyModels} from './tiny_models.js';

type Keys = Record<string, unknown>;

describe('config.json', () => {
  it('is read into sizes and choices', async () => {
    expect(await tinyConfig('qwen2')).to.deep.equal({
      architecture: 'llama',
      vocabSize: 61,
      contextLength: 64,
      depths: 3,
      dim: 32,
      heads: 4,
      kvHeads: 2,
      headDim: 8,
      hiddenDim: 44,
      activation: 'silu',
      rope: {theta: 1000000},
      normEpsilon: 1e-6,
      biases: {queryKeyValue: true, attentionOutput: false, feedForward: false},
      tiedEmbeddings: false,
    });
    expect(await tinyConfig('gpt2')).to.deep.equal({
      architecture: 'gpt2',
      vocabSize: 61,
      contextLength: 48,
      depths: 3,
      dim: 48,
      heads: 4,
      kvHeads: 4,
      headDim: 12,
      hiddenDim: 192,
      activation: 'geluNew',
      normEpsilon: 1e-5,
      biases: {queryKeyValue: true, attentionOutput: true, feedForward: true},
      tiedEmbeddings: true,
    });
  });

  it('comes back from what is written of a config', async () => {
    for (const name of tinyModels) {
      const config = await tinyConfig(name);
      expect(configFromHub(architectureOf(config).toHub(config)), name).to.deep.equal(config);
    }
  });

  const refused: [name: string, change: Keys, message: RegExp][] = [
    ['llama_biases', {hidden_size: undefined}, /lacks the key "hidden_size"/],
    ['llama_biases', {rms_norm_eps: undefined}, /lacks the key "rms_norm_eps"/],
    ['llama_biases', {max_position_embeddings: undefined}, /lacks the key "max_position_embeddings"/],
    ['llama_biases', {vocab_size: 0}, /vocab_size = 0; expected a whole number >= 1/],
    ['llama_biases', {num_hidden_layers: '2'}, /num_hidden_layers = "2"/],
    ['llama_biases', {num_key_value_heads: 3}, /heads = 4 is no multiple of its kvHeads = 3/],
    ['llama_biases', {num_attention_heads: 5, num_key_value_heads: 5}, /headDim is 6.4/],
    ['llama_biases', {head_dim: 7}, /heads of 7 numbers/],
    ['llama_biases', {hidden_act: 'gelu'}, /hidden_act = "gelu"/],
    ['llama_biases', {sliding_window: 16}, /sliding_window = 16/],
    ['llama_biases', {rms_norm_eps: 1e9}, /normEpsilon/],
    ['llama_biases', {partial_rotary_factor: 0.5}, /partial_rotary_factor = 0.5/],
    [
      'llama_biases',
      {rope_scaling: {rope_type: 'mrope'}},
      /rope_type = "mrope"; expected one of default, linear/,
    ],
    ['llama_biases', {rope_scaling: {rope_type: 'linear', type: 'yarn', factor: 2}}, /must agree/],
    ['llama_biases', {rope_scaling: {type: 'linear'}}, /lacks the key "factor"/],
    [
      'llama_biases',
      {rope_scaling: {factor: 2}},
      /rope_scaling of config.json has factor = 2 and no rope_type/,
    ],
    [
      'llama_biases',
      {rope_scaling: null, rope_parameters: {rope_theta: 1e4, factor: 2}},
      /rope_parameters of config.json has factor = 2 and no rope_type/,
    ],
    ['llama_biases', {rope_scaling: {rope_type: 'llama3', factor: 8}}, /lacks the key "low_freq_factor"/],
    [
      'llama_biases',
      {
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 4,
          original_max_position_embeddings: 8,
        },
      },
      /low_freq_factor = 4/,
    ],
    ['llama_biases', {rope_scaling: {rope_type: 'yarn', factor: 4, truncate: false}}, /truncate = false/],
    [
      'llama_biases',
      {rope_scaling: {rope_type: 'longrope', short_factor: [1], long_factor: [2], attention_factor: 1}},
      /1 divisors of frequencies for 4 rotated pairs/,
    ],
    ['llama_biases', {rope_scaling: 'linear'}, /rope_scaling = "linear"/],
    ['llama_biases', {rope_parameters: {partial_rotary_factor: 0.5}}, /partial_rotary_factor = 0.5/],
    ['llama_biases', {original_max_position_embeddings: 1.5}, /original_max_position_embeddings = 1.5/],
    [
      'llama_biases',
      {rope_parameters: {full_attention: {rope_theta: 5}, sliding_attention: {rope_theta: 7}}},
      /rotation of its own for layers of the type "full_attention"/,
    ],
    ['llama_biases', {quantization_config: {quant_method: 'gptq'}}, /quantization_config/],
    ['llama_biases', {model_type: 'llma'}, /"llma"; eigenkv knows .*Did you mean "llama"/],
    ['llama_biases', {model_type: undefined}, /does not say what architecture/],
    ['qwen2', {use_sliding_window: true, sliding_window: 32}, /sliding_window = 32 in use/],
    ['qwen2', {layer_types: ['full_attention', 'sliding_attention', 'full_attention']}, /layer_types/],
    ['gpt2', {n_head: undefined}, /lacks the key "n_head"/],
    ['gpt2', {n_head: 5}, /headDim is 9.6/],
    ['gpt2', {activation_function: 'swish2'}, /activation_function = "swish2"/],
    ['gpt2', {scale_attn_weights: false}, /scale_attn_weights = false/],
    ['gpt2', {scale_attn_by_inverse_layer_idx: true}, /scale_attn_by_inverse_layer_idx = true/],
  ];
  for (const [name, change, message] of refused) {
    it(`of ${name} with ${JSON.stringify(change)} is refused`, async () => {
      const keys = {...(await tinyJson<Keys>(name, 'config.json')), ...change};
      expect(() => configFromHub(keys)).to.throw(ModelError, message);
    });
  }

  it('may name a window that is not used, as the files of Qwen2 do', async () => {
    const keys = await tinyJson<Keys>('qwen2', 'config.json');
    expect(configFromHub({...keys, use_sliding_window: false, sliding_window: 32768})).to.deep.equal(
      configFromHub(keys),
    );
  });

  it('is not written for biases that it cannot describe', async () => {
    const config = await tinyConfig('llama_biases');
    const biases = {...config.biases, queryKeyValue: false};
    expect(() => architectureOf(config).toHub({...config, biases})).to.throw(ModelError, /biases/);
  });
});

describe('a model config by hand', () => {
  it('is checked before anything is built', async () => {
    const config = await tinyConfig('gpt2');
    const wrong: [Partial<ModelConfig>, RegExp][] = [
      [{depths: 0}, /depths is 0/],
      [{dim: 1.5}, /dim is 1.5/],
      [{kvHeads: 3}, /no multiple of its kvHeads = 3/],
      [{architecture: 'gpt3'}, /"gpt3"; eigenkv knows .*gpt2, .*llama, .*Did you mean "gpt2"/],
      [{rope: {theta: NaN}}, /frequencies that are no numbers/],
    ];
    for (const [change, message] of wrong) {
      expect(() => buildModel({...config, ...change})).to.throw(ModelError, message);
    }
  });
});

describe('rotary positions of a hub config', () => {
  interface Case {
    readonly name: string;
    readonly dim: number;
    readonly rope_theta: number;
    readonly max_position_embeddings: number;
    readonly rope_scaling: Keys | null;
    readonly amplitude: number;
    readonly frequencies: number[];
  }

  it("turn by NumPy's frequencies", async () => {
    const path = new URL('../../golden/models/rope_frequencies.json', import.meta.url);
    const {cases} = JSON.parse(await readFile(path, 'utf8')) as {cases: Case[]};
    expect(cases).to.have.length.greaterThan(5);
    for (const {name, dim, amplitude, frequencies, ...keys} of cases) {
      const rope = ropeFromHub({...keys, rope_scaling: keys.rope_scaling ?? undefined});
      const actual = ropeFrequencies(rope, dim);
      expect(actual.magnitude, name).to.be.closeTo(amplitude, 1e-9);
      frequencies.forEach((frequency, pair) => {
        // ten digits stand in the file
        expect(actual.frequencies[pair]! / frequency, `${name}, pair ${pair}`).to.be.closeTo(1, 1e-9);
      });
    }
  });

  it('are read from rope_parameters as from the older keys', async () => {
    for (const name of ['llama_rope_llama3', 'llama_rope_yarn', 'llama_rope_linear']) {
      const {rope_theta, rope_scaling, ...keys} = await tinyJson<Keys>(name, 'config.json');
      const newer = {...keys, rope_parameters: {...(rope_scaling as Keys), rope_theta}};
      expect(configFromHub(newer)).to.deep.equal(await tinyConfig(name));
    }
  });

  it('take an original context from beside the scaling as from inside it', async () => {
    for (const name of ['llama_rope_llama3', 'llama_rope_yarn']) {
      const {rope_theta, rope_scaling, ...keys} = await tinyJson<Keys>(name, 'config.json');
      const {original_max_position_embeddings: original, rope_type, ...scaling} = rope_scaling as Keys;
      const expected = await tinyConfig(name);
      const beside = {...keys, original_max_position_embeddings: original};
      const spellings: Keys[] = [
        {...beside, rope_theta, rope_scaling: {rope_type, ...scaling}},
        {...beside, rope_theta, rope_scaling: {type: rope_type, ...scaling}},
        {...beside, rope_theta, rope_parameters: {rope_type, ...scaling}},
        {...beside, rope_parameters: {type: rope_type, ...scaling, rope_theta}},
        {...beside, rope_scaling: {rope_type, ...scaling, rope_theta}, rope_theta: 3},
        {...beside, rope_scaling: null, rope_parameters: {rope_type, ...scaling, rope_theta}},
        {...beside, rope_scaling: {}, rope_parameters: {rope_type, ...scaling, rope_theta}},
        // what stands beside wins, as in the hub's library
        {...beside, rope_theta, rope_scaling: {rope_type, ...scaling, original_max_position_embeddings: 7}},
        {...beside, rope_scaling: {rope_type, ...scaling, rope_theta}, rope_parameters: {factor: 9}},
      ];
      for (const spelling of spellings) {
        expect(configFromHub(spelling), JSON.stringify(spelling)).to.deep.equal(expected);
      }
      // nowhere: the model's context
      expect(
        ropeFromHub({max_position_embeddings: 96, rope_scaling: {rope_type, ...scaling}}).scaling,
      ).to.deep.include({originalMaxPositions: 96});
    }
    // a model that says where it was trained, and is not stretched
    const plain = await tinyJson<Keys>('llama_biases', 'config.json');
    expect(configFromHub({...plain, original_max_position_embeddings: 32})).to.deep.equal(
      await tinyConfig('llama_biases'),
    );
  });

  it('follow yarn’s own keys', () => {
    const read = (scaling: Keys) =>
      ropeFromHub({max_position_embeddings: 128, rope_scaling: {rope_type: 'yarn', ...scaling}}).scaling;
    expect(read({original_max_position_embeddings: 32, factor: null})).to.deep.equal({
      type: 'yarn',
      factor: 4,
      originalMaxPositions: 32,
    });
    const grown = (weight: number) => 0.1 * weight * Math.log(4) + 1;
    expect(read({factor: 4, mscale: 0.7, mscale_all_dim: 1, beta_fast: 16, beta_slow: 2})).to.deep.equal({
      type: 'yarn',
      factor: 4,
      originalMaxPositions: 128,
      betaFast: 16,
      betaSlow: 2,
      attentionFactor: grown(0.7) / grown(1),
    });
  });

  it('come back from what is written of them', () => {
    const number = fc.double({min: 0.5, max: 64, noNaN: true});
    const count = fc.integer({min: 1, max: 4096});
    const scaling: fc.Arbitrary<RopeScaling> = fc.oneof(
      fc.record({type: fc.constant('linear' as const), factor: number}),
      fc.record({
        type: fc.constant('dynamic' as const),
        factor: number,
        maxPositions: fc.constant(512),
        originalMaxPositions: count,
      }),
      fc.record({
        type: fc.constant('llama3' as const),
        factor: number,
        lowFreqFactor: fc.constant(1),
        highFreqFactor: fc.integer({min: 2, max: 9}),
        originalMaxPositions: count,
      }),
      fc.record(
        {
          type: fc.constant('yarn' as const),
          factor: number,
          originalMaxPositions: count,
          betaFast: number,
          betaSlow: number,
          attentionFactor: number,
        },
        {requiredKeys: ['type', 'factor', 'originalMaxPositions']},
      ),
      fc.record({
        type: fc.constant('divisors' as const),
        divisors: fc.array(number, {minLength: 1, maxLength: 8}),
      }),
    );
    fc.assert(
      fc.property(scaling, number, (given, theta) => {
        const rope = {theta, scaling: given};
        const keys = {max_position_embeddings: 512, ...ropeToHub(rope)};
        expect(ropeFromHub(keys)).to.deep.equal(rope);
      }),
    );
  });
});

describe('GGUF metadata', () => {
  const llamaKeys: Readonly<Record<string, MetadataValue>> = {
    'general.architecture': 'llama',
    'llama.context_length': 64,
    'llama.embedding_length': 32,
    'llama.block_count': 2,
    'llama.feed_forward_length': 44,
    'llama.attention.head_count': 4,
    'llama.attention.head_count_kv': 2,
    'llama.attention.layer_norm_rms_epsilon': 1e-5,
  };

  /** A GGUF file of these keys that has a token embedding and further tensors of any values. */
  const fileOf = (
    change: Readonly<Record<string, MetadataValue | undefined>> = {},
    tensors: Readonly<Record<string, readonly number[]>> = {},
  ): TensorFile => {
    const keys = Object.entries({...llamaKeys, ...change}).filter(([, value]) => value !== undefined);
    const shapes = Object.entries({'token_embd.weight': [61, 32], ...tensors});
    return {
      format: 'gguf',
      metadata: new Map(keys as [string, MetadataValue][]),
      tensors: new Map(shapes.map(([name, shape]) => [name, {name, shape, dtype: 'F32', byteLength: 0}])),
      readFloat32: () => Promise.resolve(Float32Array.of(1, 1, 2, 8)),
      readAsStored: () => Promise.resolve(undefined),
      readBytes: () => Promise.resolve(new Uint8Array(16)),
      close: () => Promise.resolve(),
    };
  };

  it('is read with the defaults of the format', async () => {
    expect(await configFromGguf(fileOf({'llama.attention.head_count_kv': undefined}))).to.deep.equal({
      architecture: 'llama',
      vocabSize: 61,
      contextLength: 64,
      depths: 2,
      dim: 32,
      heads: 4,
      kvHeads: 4,
      headDim: 8,
      hiddenDim: 44,
      activation: 'silu',
      rope: {theta: 10000},
      normEpsilon: 1e-5,
      biases: {queryKeyValue: false, attentionOutput: false, feedForward: false},
      tiedEmbeddings: true,
    });
  });

  it('tells heads, biases, an own head and rotation from keys and tensors', async () => {
    const config = await configFromGguf(
      fileOf(
        {'llama.attention.key_length': 16, 'llama.attention.value_length': 16, 'llama.rope.freq_base': 500},
        {'output.weight': [61, 32], 'blk.0.attn_q.bias': [64], 'blk.0.ffn_up.bias': [44]},
      ),
    );
    expect(config.headDim).to.equal(16);
    expect(config.rope).to.deep.equal({theta: 500});
    expect(config.tiedEmbeddings).to.equal(false);
    expect(config.biases).to.deep.equal({queryKeyValue: true, attentionOutput: false, feedForward: true});
  });

  it('scales rotations as llama.cpp does', async () => {
    const scaling = async (change: Record<string, MetadataValue>, tensors = {}) =>
      (await configFromGguf(fileOf(change, tensors))).rope?.scaling;
    expect(await scaling({'llama.rope.scaling.type': 'none'})).to.equal(undefined);
    expect(await scaling({'llama.rope.scale_linear': 2})).to.deep.equal({type: 'linear', factor: 2});
    expect(await scaling({'llama.rope.scaling.factor': 2})).to.deep.equal({type: 'linear', factor: 2});
    expect(await scaling({'llama.rope.scaling.type': 'none', 'llama.rope.scaling.factor': 2})).to.equal(
      undefined,
    );
    expect(await scaling({'llama.rope.scaling.type': 'linear', 'llama.rope.scaling.factor': 0})).to.equal(
      undefined,
    );
    const yarn = {'llama.rope.scaling.type': 'yarn', 'llama.rope.scaling.factor': 4};
    expect(await scaling({...yarn, 'llama.rope.scaling.original_context_length': 16})).to.deep.equal({
      type: 'yarn',
      factor: 4,
      originalMaxPositions: 16,
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
    expect(await scaling({...yarn, 'llama.rope.scaling.attn_factor': 0.5})).to.deep.include({
      originalMaxPositions: 64,
      attentionFactor: 0.5 * (0.1 * Math.log(4) + 1),
    });
    const divisors = {'rope_freqs.weight': [4]};
    expect(await scaling({}, divisors)).to.deep.equal({type: 'divisors', divisors: [1, 1, 2, 8]});
    expect(await scaling({'llama.rope.scaling.factor': 2}, divisors)).to.deep.equal({
      type: 'divisors',
      divisors: [2, 2, 4, 16],
    });
    await rejection(configFromGguf(fileOf(yarn, divisors)), ModelError, /"yarn" and divisors of its own/);
  });

  const refused: [Record<string, MetadataValue | undefined>, RegExp][] = [
    [
      {'general.architecture': 'mamba'},
      /"mamba". Its models need recurrent layers .*it knows .*gpt2, .*llama, qwen2/,
    ],
    [{'general.architecture': undefined}, /does not say/],
    [{'llama.block_count': undefined}, /lacks the key "llama.block_count"/],
    [{'llama.block_count': 'two'}, /"llama.block_count" should be a number/],
    [{'llama.attention.value_length': 4}, /key_length = 8 and attention.value_length = 4/],
    [{'llama.rope.dimension_count': 4}, /rotates 4 of a head's 8 channels/],
    [{'llama.expert_count': 8}, /llama.expert_count = 8/],
    [{'llama.attention.sliding_window': 16}, /sliding_window = 16/],
    [{'llama.vocab_size': 60}, /vocab_size = 60, but token_embd.weight has 61 rows/],
    [{'llama.rope.scaling.type': 'longrope'}, /rope.scaling.type = "longrope"/],
    [{'llama.rope.scaling.type': 'yarn'}, /rope.scaling.factor = nothing/],
  ];
  for (const [change, message] of refused) {
    it(`with ${JSON.stringify(change)} is refused`, async () => {
      await rejection(configFromGguf(fileOf(change)), ModelError, message);
    });
  }

  it('with as many divisors as there are not pairs is refused', async () => {
    const file = fileOf(
      {'llama.attention.key_length': 16, 'llama.attention.value_length': 16},
      {'rope_freqs.weight': [4]},
    );
    await rejection(configFromGguf(file), ModelError, /divisors/);
  });
});
