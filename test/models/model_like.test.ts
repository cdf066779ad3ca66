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
import {characterTokenizer as tokenizer, tinyModel} from '../support/tiny_model.js';

describe('a model as functions take it', () => {
  let model: tf.LayersModel;
  before(() => {
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

  it('has a tokenizer for texts, and needs none for ids', () => {
    expect(tokenizerOf({model, tokenizer})).to.equal(tokenizer);
    expect(() => tokenizerOf(model)).to.throw(InvalidArgumentError, /without a tokenizer/);
    expect(() => idsOf(model, 'text')).to.throw(InvalidArgumentError, /without a tokenizer/);
    expect(idsOf(model, [1, 2])).to.deep.equal([1, 2]);
    expect(idsOf({model, tokenizer}, 'It was')).to.deep.equal(tokenizer.encode('It was'));
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
