import {expect} from 'chai';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {KVCache} from '../../../cache/index.js';
import type {Spec} from '../../../base/options.js';
import {ModelError} from '../../../base/errors.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {architectureOf, buildModel, configFromHub} from '../../../models/architectures/index.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {loadModel} from '../../../models/load.js';
import {type ModelToSave, saveModel} from '../../../models/save.js';
import {tokenizerFromGguf} from '../../../models/tokenizer/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {describeOnBackends} from '../../support/backends.js';
import {expectNoLeak} from '../../support/tensors.js';
import {shippedPolicies} from '../../cache/variants.js';
import {goldenFiles, goldenJson, goldenModel, goldenModels, goldenOf} from './golden_models.js';
import {type Golden, logitsOf, tinyPath} from './tiny_models.js';

/** Of the largest logit; float32 against PyTorch's float32, whose logits have six digits in the files. */
const tolerance = 1e-4;

/** The largest difference of logits, as a share of the largest logit. */
function worst(logits: ArrayLike<number>, expected: readonly number[]): number {
  expect(logits.length).to.equal(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  // a NaN makes the maximum NaN, which is below nothing
  return Math.max(...expected.map((x, i) => Math.abs(x - logits[i]!))) / largest;
}

/** The root mean square difference of logits, as a share of their root mean square. */
function distance(logits: ArrayLike<number>, expected: readonly number[]): number {
  const squares = expected.reduce((sum, x, i) => sum + (x - logits[i]!) ** 2, 0);
  return Math.sqrt(squares / expected.reduce((sum, x) => sum + x * x, 0));
}

/** The logits of a text that a cache takes in, first `first` tokens and then one at a time. */
async function inSteps(
  model: Awaited<ReturnType<typeof goldenModel>>['model'],
  ids: readonly number[],
  policy: Spec,
  first = 5,
): Promise<number[]> {
  const cache = new KVCache(model, policy, {onWarning: () => undefined});
  const logits: number[] = [];
  for (const chunk of [ids.slice(0, first), ...ids.slice(first).map(id => [id])]) {
    logits.push(...Array.from(await logitsOf(model, chunk, {cache})));
  }
  cache.dispose();
  return logits;
}

describeOnBackends('models of every architecture', () => {
  for (const name of goldenModels) {
    it(`${name}: logits of transformers, at once and token by token`, async () => {
      const {ids, logits} = await goldenOf(name);
      for (const file of goldenFiles(name)) {
        const {model} = await goldenModel(name, file);
        expect(worst(await logitsOf(model, ids), logits.data), `${file}, at once`).to.be.below(tolerance);
        const stepped = await inSteps(model, ids, {name: 'full'});
        expect(worst(stepped, logits.data), `${file}, in steps`).to.be.below(tolerance);
        model.dispose();
      }
    });
  }

  it('leave no tensor behind', async () => {
    for (const name of ['gemma3', 'phi', 'olmo2', 'bloom', 'ministral3']) {
      const {ids} = await goldenOf(name);
      await expectNoLeak(async () => {
        const {model} = await goldenModel(name);
        await inSteps(model, ids, {name: 'quantized', options: {groupSize: 2, residual: 3}}, 28);
        model.dispose();
      });
    }
  });
});

describe('caches of every architecture', () => {
  before(() => useBackend('wasm'));

  // how far logits of these random weights may go, where nothing is redundant; text of 32 tokens, heads of 4 to 12 numbers
  const policies: Record<string, [options: Spec['options'], bound: number]> = {
    adaptive: [{tolerance: 0.3, residual: 4, groupSize: 4}, 0.3],
    float8: [{residual: 4}, 0.05],
    full: [{}, 1e-5],
    h2o: [{heavyBudget: 10, recentBudget: 8, sinks: 2}, 0.8],
    layered: [{shortTermSize: 8, longTermBits: 8}, 0.05],
    lfu: [{maxCacheSize: 18, threshold: 0.1}, 1],
    lru: [{maxCacheSize: 18}, 0.9],
    mixed: [{budget: '8kB', bits: '6/3', near: 0}, 0.5],
    onlineSvd: [{rank: 3, updateFreq: 4}, 1.2],
    quantized: [{groupSize: 4, residual: 4}, 0.02],
    sliding: [{window: 16, sinks: 3}, 0.9],
    transform: [{bits: 6}, 0.3],
  };

  it('have an entry here for each policy', () => {
    expect(Object.keys(policies)).to.deep.equal(shippedPolicies());
  });

  for (const name of goldenModels) {
    it(`${name}: every policy stores its tokens`, async () => {
      const {ids, logits} = await goldenOf(name);
      const {model} = await goldenModel(name);
      for (const [policy, [options, bound]] of Object.entries(policies)) {
        const stepped = await inSteps(model, ids, {name: policy, options});
        expect(distance(stepped, logits.data), policy).to.be.below(bound);
      }
      model.dispose();
    });
  }
});

describe('configs of every architecture', () => {
  const configOf = async (name: string) =>
    configFromHub(await goldenJson<Record<string, unknown>>(name, 'config.json'));

  it('come back from what is written of them', async () => {
    for (const name of goldenModels) {
      const config = await configOf(name);
      expect(configFromHub(architectureOf(config).toHub(config)), name).to.deep.equal(config);
    }
  });

  type Keys = Record<string, unknown>;
  const older: [name: string, change: Keys][] = [
    [
      'gemma3',
      {
        rope_parameters: undefined,
        ...{rope_theta: 1e5, rope_local_base_freq: 1000, rope_scaling: {rope_type: 'linear', factor: 4}},
        ...{layer_types: undefined, sliding_window_pattern: 6},
      },
    ],
    ['gemma', {hidden_act: 'gelu', hidden_activation: null, rope_parameters: undefined, rope_theta: 10000}],
    ['gemma2', {layer_types: undefined}],
    ['gpt_neox', {rope_parameters: undefined, rotary_pct: 0.5, rotary_emb_base: 10000}],
    ['phi', {rope_parameters: undefined, partial_rotary_factor: 0.5, rope_theta: 10000}],
    ['stablelm', {rope_parameters: undefined, partial_rotary_factor: null}],
    [
      'phi3',
      {
        rope_parameters: undefined,
        rope_scaling: {type: 'su', short_factor: [1, 1.05, 1.1], long_factor: [1, 1.5, 4]},
        partial_rotary_factor: 0.75,
      },
    ],
    ['qwen3_window', {layer_types: undefined}],
    ['smollm3', {no_rope_layers: undefined, layer_types: undefined}],
    ['bloom', {n_head: undefined, num_attention_heads: 4, hidden_size: undefined, n_embed: 24}],
  ];
  it('are read in their older spellings, too', async () => {
    for (const [name, change] of older) {
      const keys = {...(await goldenJson<Keys>(name, 'config.json')), ...change};
      expect(configFromHub(keys), name).to.deep.equal(await configOf(name));
    }
  });

  const refusals: [name: string, change: Keys, message: RegExp][] = [
    [
      'opt',
      {word_embed_proj_dim: 16},
      /word_embed_proj_dim = 16; embeddings must be as wide as hidden states/,
    ],
    ['opt', {do_layer_norm_before: false}, /do_layer_norm_before = false/],
    ['phi', {qk_layernorm: true}, /qk_layernorm = true; eigenkv has no layer norms of queries and keys/],
    ['phi', {tie_word_embeddings: true}, /tie_word_embeddings = true/],
    ['stablelm', {qk_layernorm: true}, /qk_layernorm = true/],
    ['gemma', {use_bidirectional_attention: true}, /causal attention only/],
    ['gemma', {hidden_act: 'relu'}, /hidden_act = "relu"; expected one of gelu/],
    ['bloom', {apply_residual_connection_post_layernorm: true}, /adds what a block got, not its norm/],
    ['bloom', {n_head: undefined}, /lacks the key "n_head"/],
    ['gpt_neo', {attention_types: [[['global'], 3]]}, /attention_types of 3 layers, and num_layers = 4/],
    ['gpt_neo', {attention_types: [[['linear'], 4]]}, /layers are "global" or "local"/],
    ['qwen3_window', {layer_types: ['sliding_attention']}, /1 layer_types and 2 layers/],
    ['qwen3_window', {layer_types: ['linear_attention', 'full_attention']}, /eigenkv has no other attention/],
    ['ministral3', {rope_parameters: {rope_type: 'default'}}, /lacks the key "llama_4_scaling_beta"/],
    ['smollm3', {no_rope_layers: [1]}, /1 no_rope_layers and 5 layers/],
    ['granite', {logits_scaling: 0}, /logits_scaling = 0; expected a number > 0/],
    ['mistral', {partial_rotary_factor: 0.5}, /models of this architecture rotate whole heads/],
    [
      'phi3',
      {rope_parameters: {rope_type: 'longrope', short_factor: [1], long_factor: [2]}},
      /1 divisors of frequencies for 4 rotated pairs/,
    ],
    ['gemma2', {num_hidden_layers: 1e9, layer_types: undefined}, /models of at most 65536 depths are read/],
    [
      'qwen3',
      {model_type: 'qwen3_next'},
      /"qwen3_next". Its models need linear attention, which eigenkv does not have/,
    ],
    ['qwen3', {model_type: 'qwen3_moe'}, /need a mixture of experts/],
    ['qwen3', {model_type: 'falcon_h1'}, /need recurrent layers/],
    ['gemma3', {model_type: 'gemma3'}, /parts for images/],
  ];
  for (const [name, change, message] of refusals) {
    it(`of ${name} with ${JSON.stringify(change)} are refused`, async () => {
      const keys = {...(await goldenJson<Keys>(name, 'config.json')), ...change};
      expect(() => configFromHub(keys)).to.throw(ModelError, message);
    });
  }

  /** What says how a model computes, beside its sizes. */
  const choices = [
    ...[
      'rope',
      'rotated',
      'window',
      'windowed',
      'windowRope',
      'attentionScale',
      'attentionSoftCap',
      'queryGrowth',
    ],
    ...['parallel', 'embeddingScale', 'residualScale', 'logitScale', 'logitSoftCap', 'activation'],
  ] as const;

  it('name nothing that does not move the logits of these models', async () => {
    await useBackend('wasm');
    for (const name of goldenModels) {
      const {ids, logits} = await goldenOf(name);
      const {model, config} = await goldenModel(name);
      for (const choice of choices) {
        const isDefault = choice === 'attentionScale' && config[choice] === 1 / Math.sqrt(config.headDim);
        if (!(choice in config) || isDefault) continue;
        const other = withOther(config, choice);
        const changed = buildModel(other);
        const byName = new Map(model.weights.map(variable => [variable.originalName, variable]));
        // without a norm that both parts share there are other variables
        if (changed.weights.every(({originalName}) => byName.has(originalName))) {
          for (const variable of changed.weights) variable.write(byName.get(variable.originalName)!.read());
          const moved = distance(await logitsOf(changed, ids), logits.data);
          expect(moved, `${name} with another ${choice}`).to.be.above(0.005);
        }
        changed.dispose();
      }
      model.dispose();
    }
  });

  function withOther(config: ModelConfig, choice: (typeof choices)[number]): ModelConfig {
    if (choice === 'activation') {
      return {...config, activation: config.activation === 'relu' ? 'silu' : 'relu'};
    }
    const {[choice]: _left, ...other} = config;
    return other;
  }
});

describe('files of every architecture', () => {
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-architectures-'));
  });
  after(() => rm(folder, {recursive: true}));

  /** A golden model with a tokenizer of as many tokens. */
  async function whole(name: string): Promise<ModelToSave & {golden: Golden}> {
    const file = await openTensorPath(tinyPath('qwen2', 'model.gguf'));
    await file.close();
    const tokenizer = tokenizerFromGguf(file.metadata);
    return {...(await goldenModel(name)), tokenizer, golden: await goldenOf(name)};
  }

  /** What GGUF has no place for. */
  const refused: Record<string, RegExp> = {
    gemma2_scaled: /no place for the factor 0.204\d+ of this model's attention scores: it stands for 0.353/,
    gpt_neo: /no place for models of the architecture "gpt_neo"/,
    mistral: /no place for the window of 9 tokens/,
    opt: /no place for models of the architecture "opt"/,
    qwen3_window: /no place for the window of 9 tokens/,
    starcoder2_window: /no place for the window of 9 tokens/,
  };

  for (const name of goldenModels) {
    it(`${name} is saved and loaded again, as a folder and as GGUF`, async () => {
      const {golden, ...given} = await whole(name);
      for (const path of [join(folder, name), join(folder, `${name}.gguf`)]) {
        const reason = path.endsWith('.gguf') ? refused[name] : undefined;
        if (reason !== undefined) {
          await saveModel(given, path).then(
            () => expect.fail(`${name} was written as GGUF`),
            (error: unknown) => {
              expect(error).to.be.instanceOf(ModelError);
              expect(String(error)).to.match(reason);
            },
          );
          continue;
        }
        await saveModel(given, path);
        const loaded = await loadModel(path, {weights: 'float32', onWarning: () => undefined});
        if (!path.endsWith('.gguf')) expect(loaded.config).to.deep.equal(given.config);
        expect(worst(await logitsOf(loaded.model, golden.ids), golden.logits.data), path).to.be.below(
          tolerance,
        );
        loaded.dispose();
      }
      given.model.dispose();
    });
  }

  for (const name of ['phi3', 'gpt_neox', 'bloom', 'phi', 'gemma', 'qwen3']) {
    it(`${name} keeps the numbers of packed weights, fused ones too`, async () => {
      const {golden, ...given} = await whole(name);
      const path = join(folder, `${name}_float`);
      await saveModel(given, path, {dtype: 'F32'});
      given.model.dispose();
      const packed = await loadModel(path, {weights: 'packed8', onWarning: () => undefined});
      const logits = await logitsOf(packed.model, golden.ids);
      expect(distance(logits, golden.logits.data), 'rounded to 8 bits').to.be.below(0.05);
      const again = join(folder, `${name}_packed`);
      await saveModel(packed, again);
      const loaded = await loadModel(again, {onWarning: () => undefined});
      expect(await logitsOf(loaded.model, golden.ids)).to.deep.equal(logits);
      loaded.dispose();
      packed.dispose();
    });
  }
});
