import {expect} from 'chai';
import {join} from 'node:path';
import {saveModel} from '../../../models/save.js';
import {generate} from '../../../models/generate/generate.js';
import {loadModel} from '../../../models/load.js';
import type {TensorToWrite} from '../../../base/files/write_safetensors.js';
import {ModelError} from '../../../base/errors.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {expectNoLeak} from '../../support/tensors.js';
import {type HubFolders, hubFolders, loadWarned} from '../hub/hub_folders.js';
import {rejection} from '../../base/files/rejection.js';

type Numbers = Extract<TensorToWrite, {dtype: 'F32'}>;

/** A tensor of the embedding's rows from the last to the first, twice as large, under another name. */
const reversedTwice = (embedding: Numbers, name: string): Numbers => ({
  ...embedding,
  name,
  data: async () => {
    const [rows, columns] = embedding.shape as [number, number];
    const values = await embedding.data();
    return Float32Array.from(values, (_, i) => {
      const row = Math.floor(i / columns);
      return 2 * values[(rows - 1 - row) * columns + (i % columns)]!;
    });
  },
});

describe('files of a model that contradict each other', () => {
  let folders: HubFolders;
  let changed: HubFolders['changed'];
  let readWhole: HubFolders['readWhole'];
  let weightsWith: HubFolders['weightsWith'];
  let expectGolden: HubFolders['expectGolden'];

  before(async () => {
    await useBackend('wasm');
    folders = await hubFolders('llama_biases');
    ({changed, readWhole, weightsWith, expectGolden} = folders);
  });
  after(() => folders.remove());

  describe('about the output head', () => {
    for (const name of ['llama_rope_llama3', 'gpt2']) {
      it(`of ${name}: a head of its own counts, whatever the config says`, async () => {
        const tied = await hubFolders(name);
        const embeddings = ['model.embed_tokens.weight', 'transformer.wte.weight'];
        const bytes = await tied.weightsWith(tensor =>
          embeddings.includes(tensor.name) && tensor.dtype === 'F32'
            ? [tensor, reversedTwice(tensor, 'lm_head.weight')]
            : [tensor],
        );
        const {loaded, warnings} = await loadWarned(await tied.changed('own', {'model.safetensors': bytes}));
        expect(loaded.config.tiedEmbeddings).to.equal(false);
        expect(warnings).to.have.length(1);
        expect(warnings[0]).to.match(/"lm_head.weight" with other numbers.*tie_word_embeddings/);
        const vocabSize = loaded.config.vocabSize;
        await saveModel(loaded, join(tied.folder, 'saved'));
        // logits are hidden states times the head's rows
        const reversed = (logits: readonly number[]) =>
          logits.map((_, i) => 2 * logits[i - (i % vocabSize) + vocabSize - 1 - (i % vocabSize)]!);
        await tied.expectGolden(loaded, reversed);
        const again = await loadWarned(join(tied.folder, 'saved'));
        expect(again.warnings).to.deep.equal([]);
        await tied.expectGolden(again.loaded, reversed);
        await tied.remove();
      });

      it(`of ${name}: an equal head is the embedding`, async () => {
        const tied = await hubFolders(name);
        const bytes = await tied.weightsWith(tensor =>
          /embed_tokens|wte/.test(tensor.name) ? [tensor, {...tensor, name: 'lm_head.weight'}] : [tensor],
        );
        const both = await loadWarned(await tied.changed('both', {'model.safetensors': bytes}));
        expect(both.warnings).to.deep.equal([]);
        expect(both.loaded.config.tiedEmbeddings).to.equal(true);
        await tied.expectGolden(both.loaded);
        // only the head was kept of the two
        const renamed = await tied.weightsWith(tensor =>
          /embed_tokens|wte/.test(tensor.name) ? [{...tensor, name: 'lm_head.weight'}] : [tensor],
        );
        const head = await loadWarned(await tied.changed('head', {'model.safetensors': renamed}));
        expect(head.warnings).to.deep.equal([]);
        await tied.expectGolden(head.loaded);
        await tied.remove();
      });
    }

    it('a config that says too much, with the head that the model was made with', async () => {
      const config = {...(await readWhole('config.json')), tie_word_embeddings: true};
      const {loaded, warnings} = await loadWarned(await changed('tied', {'config.json': config}));
      expect(warnings).to.have.length(1);
      expect(loaded.config.tiedEmbeddings).to.equal(false);
      await expectGolden(loaded);
    });

    it('is refused where it is of another size, or nowhere', async () => {
      const config = {...(await readWhole('config.json')), tie_word_embeddings: true};
      const narrow = await weightsWith(tensor =>
        tensor.name === 'lm_head.weight' && tensor.dtype === 'F32'
          ? [{...tensor, shape: [61, 16], data: () => new Float32Array(61 * 16)}]
          : [tensor],
      );
      const path = await changed('narrow', {'config.json': config, 'model.safetensors': narrow});
      await expectNoLeak(async () => {
        await rejection(
          loadModel(path, {onWarning: () => undefined}),
          ModelError,
          /"lm_head.weight" is \[61, 16\]; by the model's config it should be \[61, 32\]/,
        );
      });
      const none = await weightsWith(tensor => (tensor.name === 'lm_head.weight' ? [] : [tensor]));
      await rejection(
        loadModel(await changed('none', {'model.safetensors': none})),
        ModelError,
        /lack the tensor "lm_head.weight".*"tie_word_embeddings": true/,
      );
    });
  });

  describe('about tensors', () => {
    it('leave out those that the model has no place for, and say so', async () => {
      const norm = 'model.layers.0.self_attn.q_norm.weight';
      const bytes = await weightsWith(tensor =>
        tensor.name === 'model.norm.weight' ? [tensor, {...tensor, name: norm}] : [tensor],
      );
      const {loaded, warnings} = await loadWarned(await changed('extra', {'model.safetensors': bytes}));
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.include(norm);
      await expectGolden(loaded);
    });

    it('leave out what models make themselves without a word', async () => {
      const buffers = ['model.position_ids', 'model.layers.0.self_attn.rotary_emb.inv_freq'];
      const bytes = await weightsWith(tensor =>
        tensor.name === 'model.norm.weight'
          ? [tensor, ...buffers.map(name => ({...tensor, name}))]
          : [tensor],
      );
      const {loaded, warnings} = await loadWarned(await changed('buffers', {'model.safetensors': bytes}));
      expect(warnings).to.deep.equal([]);
      await expectGolden(loaded);
    });

    it('leave out biases that the config does not name', async () => {
      const config = {...(await readWhole('config.json')), attention_bias: false};
      const {loaded, warnings} = await loadWarned(await changed('biases', {'config.json': config}));
      expect(warnings[0]).to.match(/8 tensors .* "model.layers.0.self_attn.*_proj.bias"/);
      expect(loaded.config.biases.queryKeyValue).to.equal(false);
      loaded.dispose();
    });

    it('say that a rotation which changes with the text is held', async () => {
      const config = await readWhole('config.json');
      const dynamic = (scaling: object) =>
        changed('dynamic', {
          'config.json': {...config, rope_scaling: {type: 'dynamic', factor: 2, ...scaling}},
        });
      const held = await loadWarned(await dynamic({original_max_position_embeddings: 32}));
      expect(held.warnings).to.have.length(1);
      expect(held.warnings[0]).to.match(/"dynamic", which changes .* held as for 64 tokens/);
      held.loaded.dispose();
      const plain = await loadWarned(await dynamic({}));
      expect(plain.warnings).to.deep.equal([]);
      await expectGolden(plain.loaded); // within its context nothing is scaled
    });

    it('say so on the console where nobody listens', async () => {
      const config = {...(await readWhole('config.json')), attention_bias: false};
      const path = await changed('console', {'config.json': config});
      const said: unknown[] = [];
      const {warn} = console;
      console.warn = message => said.push(message);
      try {
        (await loadModel(path)).dispose();
      } finally {
        console.warn = warn;
      }
      expect(said).to.have.length(1);
      expect(said[0]).to.match(/^eigenkv: The weights hold 8 tensors/);
    });
  });

  describe('about tokens', () => {
    /** The whole model's tokenizer.json, with so many tokens fewer than the embedding has rows. */
    async function withoutLastTokens(count: number): Promise<Record<string, unknown>> {
      const json = await readWhole('tokenizer.json');
      const model = json['model'] as {vocab: Record<string, number>; merges: readonly [string, string][]};
      const vocab = Object.fromEntries(Object.entries(model.vocab).filter(([, id]) => id < 61 - count));
      const merges = model.merges.filter(([a, b]) => [a, b, a + b].every(token => token in vocab));
      return {...json, model: {...model, vocab, merges}};
    }

    it('leaves out first and last tokens that the model does not have, and says so', async () => {
      const config = await readWhole('config.json');
      const wrong: [ends: unknown, left: number[]][] = [
        [61, [2]],
        [[2, 50256], [2]],
        [-1, [2]],
        [2 ** 32 - 1, [2]],
      ];
      for (const [eos, left] of wrong) {
        const path = await changed('ends_beyond', {'config.json': {...config, eos_token_id: eos}});
        const {loaded, warnings} = await loadWarned(path);
        expect(loaded.tokenizer.eosIds).to.deep.equal(left);
        expect(warnings).to.have.length(1);
        expect(warnings[0]).to.match(/has the ids 0 to 60: they count as not given/);
        loaded.dispose();
      }
      const path = await changed('start_beyond', {
        'config.json': {...config, bos_token_id: 99},
        'tokenizer_config.json': undefined,
        'tokenizer.json': {...(await readWhole('tokenizer.json')), added_tokens: []},
      });
      const {loaded, warnings} = await loadWarned(path);
      expect(loaded.tokenizer.bosId).to.equal(undefined);
      expect(warnings[0]).to.include('99');
      loaded.dispose();
    });

    it('may end at a token of the padding', async () => {
      const {loaded, warnings} = await loadWarned(
        await changed('padded', {
          'tokenizer.json': await withoutLastTokens(5),
          'generation_config.json': {eos_token_id: [2, 60]},
        }),
      );
      expect(loaded.tokenizer.vocabSize).to.equal(56);
      expect(loaded.tokenizer.eosIds).to.deep.equal([2, 60]);
      expect(warnings).to.deep.equal([]);
      const saved = join(folders.folder, 'padded_saved');
      await saveModel({...loaded, tokenizer: {...loaded.tokenizer, eosIds: [60, 2]}}, saved);
      const again = await loadModel(saved);
      expect([...again.tokenizer.eosIds].sort()).to.deep.equal([2, 60]);
      again.dispose();
      loaded.dispose();
    });

    it('go on where a token of the padding is drawn', async () => {
      const path = await changed('drawn', {'tokenizer.json': await withoutLastTokens(40)});
      const loaded = await loadModel(path);
      const plain = await loadModel(folders.whole);
      const options = {tokens: 40, temperature: 2, seed: 7};
      const drawn: number[] = [];
      // each of the words that the shorter tokenizer knows has the same id in both
      const texts: string[] = [];
      const watched = {
        ...loaded.tokenizer,
        isSilent: (id: number, o?: object) => {
          drawn.push(id);
          return loaded.tokenizer.isSilent!(id, o);
        },
      };
      const [a] = loaded.tokenizer.encode('a', {addSpecial: false});
      for await (const text of generate({...loaded, tokenizer: {...watched, eosIds: []}}, 'aa', options))
        texts.push(text);
      const prompt = loaded.tokenizer.encode('aa');
      expect(drawn.slice(0, prompt.length)).to.deep.equal(prompt);
      const generated = drawn.slice(prompt.length);
      expect(generated).to.have.length(40);
      const known = loaded.tokenizer.vocabSize;
      expect(generated.filter(id => id >= known).length).to.be.within(5, 39);
      const expected = plain.tokenizer.decode([a!, ...generated.filter(id => id < known)]);
      expect(texts.join('')).to.equal(expected.slice(plain.tokenizer.decode([a!]).length));
      loaded.dispose();
      plain.dispose();
    });

    it('refuse only texts that hold a token which the model does not have', async () => {
      const extra = [{id: 61, content: '<extra>', special: true}];
      const path = await changed('longer', {
        'tokenizer.json': {...(await readWhole('tokenizer.json')), added_tokens: extra},
      });
      const {loaded, warnings} = await loadWarned(path);
      const {tokenizer} = loaded;
      expect(warnings).to.deep.equal([]);
      expect(tokenizer.vocabSize).to.equal(62);
      expect(tokenizer.decode([61], {skipSpecial: false})).to.equal('<extra>');
      expect(() => tokenizer.encode('a <extra>')).to.throw(ModelError, /token "<extra>" \(61\).*ids 0 to 60/);
      expect(tokenizer.encode('a b')).to.deep.equal(await plainIds('a b'));
      await rejection(
        (async () => {
          for await (const text of generate(loaded, '<extra>')) expect.fail(text);
        })(),
        ModelError,
        /<extra>/,
      );
      await expectGolden(loaded);
    });

    it('leave out a last token that only the tokenizer has', async () => {
      const path = await changed('longer_end', {
        'tokenizer_config.json': {...(await readWhole('tokenizer_config.json')), eos_token: '<|im_end|>'},
      });
      const {loaded, warnings} = await loadWarned(path);
      expect(loaded.tokenizer.eosIds).to.deep.equal([2]);
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.match(/include 61, but its vocabulary has the ids 0 to 60/);
      loaded.dispose();
    });
  });

  async function plainIds(text: string): Promise<number[]> {
    const {tokenizer, dispose} = await loadModel(folders.whole);
    dispose();
    return tokenizer.encode(text);
  }
});
