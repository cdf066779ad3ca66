import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {FormatError, InvalidArgumentError} from '../../base/errors.js';
import {attention, outputHead, positionEmbedding, tokenEmbedding} from '../../layers/index.js';
import {
  type ModelLike,
  contextLengthOf,
  idsOf,
  idsOfTexts,
  modelOf,
  textIds,
  tokenizerOf,
} from '../../models/model_like.js';
import {KVCache} from '../../cache/kv_cache.js';
import {
  type ModelToSave,
  attachCache,
  calibrate,
  compress,
  fineTune,
  generate,
  saveModel,
} from '../../models/index.js';
import type {Tokenizer} from '../../models/tokenizer/index.js';
import {analyzeRanks, evaluate, monitor} from '../../src/evaluate/index.js';
import {rejection} from '../base/files/rejection.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {characterTokenizer as tokenizer, tinyModel} from '../support/tiny_model.js';

describe('a model as functions take it', () => {
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel(3);
  });
  after(() => void model.dispose());

  it('is a loaded one or a tf.LayersModel, a sequence too', () => {
    expect(modelOf(model)).to.equal(model);
    expect(modelOf({model, tokenizer})).to.equal(model);
    const layers = [
      tokenEmbedding({vocabSize: 8, dim: 4, inputShape: [null]}),
      positionEmbedding({maxPositions: 12}),
      attention({numHeads: 1, depth: 0}),
      outputHead({vocabSize: 8}),
    ];
    const sequence = tf.sequential({layers}); // it has a `model` of its own
    expect(modelOf(sequence)).to.equal(sequence);
    expect(contextLengthOf(sequence)).to.equal(12);
    expect(contextLengthOf({model: sequence, contextLength: 5})).to.equal(5);
    expect(contextLengthOf({model: sequence, contextLength: 50})).to.equal(12);
    expect(contextLengthOf(model)).to.equal(Infinity);
    sequence.dispose();
  });

  it('is nothing else', async () => {
    const loading = Promise.resolve({model});
    for (const given of [undefined, null, 5, 'embedded', {}, {model: {}}, loading]) {
      const message = given === loading ? /await it/ : /no model; expected what loadModel returns/;
      expect(() => modelOf(given as unknown as ModelLike)).to.throw(InvalidArgumentError, message);
    }
    await loading;
  });

  it('was not disposed of, whatever it is given to', async () => {
    const gone = tinyModel(4);
    const shapes = new KVCache(gone)
      .report()
      .map(({depth}) => ({depth, heads: 4, kvHeads: 2, dim: 8, dimV: 8}));
    const calibration = await calibrate({model, tokenizer}, 'It was a fine morning, and so on.');
    const snapshot = await new KVCache(shapes).save();
    const loaded = {model: gone, tokenizer};
    gone.dispose();
    const sequence = tf.sequential({layers: [tokenEmbedding({vocabSize: 8, dim: 4, inputShape: [null]})]});
    sequence.dispose();
    const message = /This model ".*" was disposed of.*load or build it again/;
    for (const given of [gone, loaded, sequence, {model: sequence}]) {
      expect(() => modelOf(given)).to.throw(InvalidArgumentError, message);
      expect(() => new KVCache(given)).to.throw(InvalidArgumentError, message);
    }
    const toSave = {...loaded, config: {}} as unknown as ModelToSave;
    const runs: Record<string, () => Promise<unknown>> = {
      generate: () => generate(loaded, 'text').next(),
      'generate, of ids': () => generate(gone, [5]).next(),
      evaluate: () => evaluate(loaded, 'some text'),
      'evaluate, compared': () =>
        evaluate({model, tokenizer}, 'some text', {compared: [{name: 'other', model: gone}]}),
      monitor: () => monitor(loaded, 'some text'),
      analyzeRanks: () => analyzeRanks(loaded, 'some text'),
      calibrate: () => calibrate(loaded, 'some text'),
      compress: () => compress(loaded, calibration, {ratio: 0.5}),
      fineTune: () => fineTune(loaded, 'some text'),
      attachCache: () => attachCache(gone),
      restore: () => KVCache.restore(snapshot, gone),
      saveModel: () => saveModel(toSave, '/nowhere'),
    };
    for (const [name, run] of Object.entries(runs)) {
      const error = await run().then(
        () => 'none',
        (thrown: unknown) => thrown,
      );
      expect(error, name).to.be.instanceOf(InvalidArgumentError);
      expect((error as Error).message, name).to.match(message);
    }
  });

  it('has a tokenizer for texts, and needs none for ids', () => {
    expect(tokenizerOf({model, tokenizer})).to.equal(tokenizer);
    expect(() => tokenizerOf(model)).to.throw(InvalidArgumentError, /without a tokenizer/);
    expect(() => idsOf(model, 'text')).to.throw(InvalidArgumentError, /without a tokenizer/);
    expect(idsOf(model, [1, 2])).to.deep.equal([1, 2]);
    expect(idsOf({model, tokenizer}, 'It was')).to.deep.equal(tokenizer.encode('It was'));
  });

  it('has a tokenizer that can do what one does', async () => {
    const {encode, ...withoutEncode} = tokenizer;
    const refused: [unknown, RegExp][] = [
      [{}, /has no encode, no decode, no token, no eosIds; expected the one that loadModel returned/],
      [null, /has no encode/],
      [5, /has no encode/],
      [withoutEncode, /has no encode;/],
      [{...withoutEncode, encode, eosIds: 5}, /has no eosIds;/],
    ];
    for (const [given, message] of refused) {
      const loaded = {model, tokenizer: given as Tokenizer};
      expect(() => idsOf(loaded, 'text')).to.throw(InvalidArgumentError, message);
      await rejection(generate(loaded, 'text').next(), InvalidArgumentError, message);
      await rejection(evaluate(loaded, 'text'), InvalidArgumentError, message);
      expect(idsOf(loaded, [1, 2])).to.deep.equal([1, 2]);
    }
  });

  it('takes one text or several, or their ids', () => {
    const loaded = {model, tokenizer};
    const ids = tokenizer.encode('It was');
    expect(idsOfTexts(loaded, 'It was')).to.deep.equal([ids]);
    expect(idsOfTexts(loaded, ids, 3)).to.deep.equal([ids.slice(0, 3)]);
    expect(idsOfTexts(loaded, ['It was', [1, 2, 3]], 2)).to.deep.equal([ids.slice(0, 2), [1, 2]]);
    const typed = Int32Array.of(4, 5) as unknown as number[];
    expect(idsOfTexts(loaded, typed)).to.deep.equal([[4, 5]]);
    expect(idsOfTexts(loaded, [typed])).to.deep.equal([[4, 5]]);

    const refused: [unknown, RegExp][] = [
      [[], /no texts/],
      [[[]], /The text has no tokens/],
      [['a', ' '], /Text 1 is empty/],
      ['', /The text is empty/],
      [5, /expected a list of ids/],
      [undefined, /expected a list of ids/],
      [[null], /ids\[0\] = null/],
      [[1, 'a'], /ids\[1\] = a/],
      [[[1, 2000]], /ids\[1\] = 2000.*vocabulary/],
    ];
    for (const [given, message] of refused) {
      expect(() => idsOfTexts(loaded, given as string), String(given)).to.throw(
        InvalidArgumentError,
        message,
      );
    }
  });

  it('reads bytes of a text as UTF-8 or not at all', () => {
    expect(textIds(tokenizer, new TextEncoder().encode('a'))).to.deep.equal(tokenizer.encode('a'));
    expect(() => textIds(tokenizer, Uint8Array.of(0xff, 0xfe))).to.throw(FormatError, /UTF-8/);
    expect(() => textIds(tokenizer, ' \n')).to.throw(InvalidArgumentError, /empty/);
  });
});
