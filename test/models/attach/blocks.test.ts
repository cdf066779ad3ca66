import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, quantized} from '../../../cache/index.js';
import {
  attachCache,
  calibrate,
  compress,
  fourDenseAdapter,
  generate,
  loadKerasModel,
  multiHeadAdapter,
  registerAttentionAdapter,
} from '../../../models/index.js';
import {findAttention, placedLayers} from '../../../models/adapters/index.js';
import {attention} from '../../../layers/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {type ProjectedArgs, ProjectedAttention, TransformerBlock} from '../../support/block_attention.js';
import {pathOf} from '../../support/keras_exports.js';
import {modelWith, oddSizes} from '../../support/odd_attention.js';
import {MultiHeadAttention, modelOf} from '../../support/other_attentions.js';
import {expectClose} from '../../support/tensors.js';
import {rejection} from '../../base/files/rejection.js';

const names = {query: 'wq', key: 'wk', value: 'wv', output: 'wo', heads: 'nHead'};
registerAttentionAdapter(fourDenseAdapter('ProjectedAttention', {...names, kvHeads: 'nKvHead'}));

/** A class of its own for a kind of scores, with an adapter that says them. */
function kindOf(className: string, odd: ProjectedArgs, said: Parameters<typeof fourDenseAdapter>[1]) {
  registerAttentionAdapter(fourDenseAdapter(className, {...names, ...said}));
  return class extends ProjectedAttention {
    static override readonly className = className;
    constructor(args: ProjectedArgs = {}) {
      super({...odd, ...args});
    }
  };
}
const Sloped = kindOf('SlopedProjections', {alibi: true}, {alibi: true});
const Capped = kindOf('CappedProjections', {cap: 2, scale: 0.7}, {softCap: 2, scale: 0.7});
const Local = kindOf('LocalProjections', {window: 8}, {window: 8});
const Related = kindOf(
  'RelatedProjections',
  {alibi: true},
  {
    relativeBias: () => {
      const [heads, distances] = [4, 1024];
      const slopes = Array.from({length: heads}, (_, head) => 2 ** ((-8 * (head + 1)) / heads));
      const table = slopes.flatMap(slope => Array.from({length: distances}, (_, i) => -slope * i));
      return tf.tensor2d(table, [heads, distances]);
    },
  },
);
const Mistaken = kindOf('MistakenProjections', {alibi: true}, {});

const ids = Array.from({length: 40}, (_, i) => (7 * i * i + 3 * i) % oddSizes.vocab);

async function expectSameInSteps(model: tf.LayersModel, steps: readonly number[]): Promise<void> {
  const cache = await attachCache(model);
  const x = tf.tensor2d([ids]);
  const whole = model.predict(x) as tf.Tensor;
  const parts = tf.tidy(() => {
    let from = 0;
    return tf.concat(
      steps.map(count => {
        from += count;
        return model.apply(tf.slice(x, [0, from - count], [-1, count]), {cache}) as tf.Tensor;
      }),
      1,
    );
  });
  await expectClose(parts, whole, 3e-5);
  tf.dispose([x, whole, parts]);
  cache.dispose();
}

describe('attention of four dense layers', () => {
  before(() => useBackend('wasm'));

  const kinds: Record<string, () => tf.layers.Layer> = {
    'with biases': () => new ProjectedAttention(),
    'without biases, heads in groups': () => new ProjectedAttention({useBias: false, nKvHead: 2}),
    'with ALiBi': () => new Sloped(),
    'with ALiBi as a table of biases': () => new Related(),
    'with caps and a scale': () => new Capped(),
    'in a window': () => new Local(),
  };
  for (const [name, make] of Object.entries(kinds)) {
    it(`${name}: the same with a cache, in any steps`, async () => {
      const model = modelWith([make(), make()], {scale: 0.3});
      await expectSameInSteps(model, [25, 1, 3, 11]);
      model.dispose();
    });
  }

  it('is compressed', async () => {
    const model = modelWith([new ProjectedAttention({nKvHead: 2})], {scale: 0.3});
    const {model: small} = await compress(model, await calibrate({model}, [ids], {window: 40}), {ratio: 1});
    const x = tf.tensor2d([ids]);
    const [expected, found] = [model.predict(x) as tf.Tensor, small.predict(x) as tf.Tensor];
    await expectClose(found, expected, 1e-4);
    tf.dispose([x, expected, found]);
    model.dispose();
    small.dispose();
  });

  it('refuses scores that its adapter does not say, and layers that are made otherwise', async () => {
    await rejection(attachCache(modelWith([new Mistaken({name: 'sloped'})])), ModelError, /"sloped" .*ALiBi/);
    await rejection(
      attachCache(modelWith([new ProjectedAttention({name: 'active', activation: 'relu'})])),
      ModelError,
      /"active": its wq has the activation "relu"/,
    );
    registerAttentionAdapter(fourDenseAdapter('WrongNames', {...names, query: 'q'}));
    class WrongNames extends ProjectedAttention {
      static override readonly className = 'WrongNames';
    }
    await rejection(
      attachCache(modelWith([new WrongNames()])),
      ModelError,
      /no dense layer as its field "q"; its layers are wq, wk, wv, wo/,
    );
    registerAttentionAdapter(fourDenseAdapter('WrongHeads', {...names, heads: 'units'}));
    class WrongHeads extends ProjectedAttention {
      static override readonly className = 'WrongHeads';
    }
    await rejection(attachCache(modelWith([new WrongHeads()])), ModelError, /no number of heads as "units"/);
  });

  it('refuses options that it has not, and windows of 0', () => {
    const given = (options: object) => () => fourDenseAdapter('Any', options);
    expect(given({querry: 'q'})).to.throw(InvalidArgumentError, /no option "querry".*"query"/);
    expect(given({window: 0})).to.throw(InvalidArgumentError, /window = 0; expected a whole number/);
    expect(given({heads: 4})).to.throw(InvalidArgumentError, /heads = 4; expected the name/);
  });
});

describe('attention inside blocks', () => {
  before(() => useBackend('wasm'));

  for (const handsOver of [true, false]) {
    it(`is found and attached, whether the block hands keyword arguments over or not (${handsOver})`, async () => {
      const model = modelWith([
        new TransformerBlock(new ProjectedAttention(), handsOver),
        new TransformerBlock(new Local(), handsOver),
      ]);
      await expectSameInSteps(model, [25, 1, 3, 11]);
      const small = new KVCache(model, quantized({bits: 4, groupSize: 8, residual: 0}));
      for await (const id of generate(model, ids.slice(0, 20), {cache: small, tokens: 5})) {
        expect(id).to.be.below(oddSizes.vocab);
      }
      expect(small.tokens).to.be.above(20);
      small.dispose();
      model.dispose();
    });
  }

  it('of eigenkv takes a cache without being attached', () => {
    const model = modelWith([
      new TransformerBlock(attention({numHeads: 4, depth: 0})),
      new TransformerBlock(attention({numHeads: 4, depth: 1})),
    ]);
    const cache = new KVCache(model);
    tf.tidy(() => void model.apply(tf.tensor2d([ids]), {cache}));
    expect(cache.tokensSeen(1)).to.equal(40);
    cache.dispose();
    model.dispose();
  });

  it('is found once where parts of a block know the block and have several names', async () => {
    const knowing = (part: tf.layers.Layer) => {
      const block = new TransformerBlock(part);
      const other = Object.assign(tf.layers.dropout({rate: 0}), {block});
      return modelWith([Object.assign(block, {other, self: block, parts: [part, other]})]);
    };
    const own = knowing(attention({numHeads: 4, depth: 0}));
    const cache = new KVCache(own);
    expect(cache.report()).to.have.length(1);
    cache.dispose();
    own.dispose();
    const model = knowing(new ProjectedAttention());
    expect(findAttention(placedLayers(model))).to.have.length(1);
    const attached = await attachCache(model);
    expect(attached.report()).to.have.length(1);
    attached.dispose();
    model.dispose();
  });

  it('is named when there is no adapter, and leaves the block as it was when refused', async () => {
    class UnknownAttention extends ProjectedAttention {
      static override readonly className = 'UnknownAttention';
    }
    const model = modelWith([new TransformerBlock(new UnknownAttention({name: 'inner'}))]);
    await rejection(attachCache(model), ModelError, /"inner" \(UnknownAttention\)/);
    const wrong = modelWith([new TransformerBlock(new Mistaken({name: 'sloped'}), true, {name: 'block'})]);
    await rejection(attachCache(wrong), ModelError, /"sloped" .*ALiBi/);
    const block = wrong.layers.find(layer => layer instanceof TransformerBlock)!;
    for (const layer of [block, block.attention]) {
      expect(Object.hasOwn(layer, 'call')).to.equal(false);
      expect('layerShape' in layer).to.equal(false);
    }
    await rejection(calibrate({model: wrong}, [ids]), ModelError, /"sloped" .*member of .*"block"/);
    model.dispose();
    wrong.dispose();
  });
});

describe('layers that are left alone', () => {
  before(() => useBackend('wasm'));

  it('an encoder-decoder of Keras continues as without a cache', async () => {
    const leave = ['att_source', 'cross_0', 'cross_1'];
    for (const name of ['translation_2', 'translation_3']) {
      const model = await loadKerasModel(pathOf(name));
      const cache = await attachCache(model, undefined, {leave, input: 'target'});
      const source = tf.tensor2d([[4, 9, 2, 0, 0]], undefined, 'int32');
      const target = tf.tensor2d([[3, 17, 5, 9, 12, 8]], undefined, 'int32');
      const whole = model.predict([source, target]) as tf.Tensor;
      const parts = tf.tidy(() => {
        const step = (from: number, count: number) =>
          model.apply([source, tf.slice(target, [0, from], [-1, count])], {cache}) as tf.Tensor;
        return tf.concat([step(0, 3), step(3, 1), step(4, 2)], 1);
      });
      await expectClose(parts, whole, 1e-5);
      expect(cache.report().length).to.equal(2);
      const another = await attachCache(model, quantized({bits: 8, groupSize: 4}), {leave, input: 'target'});
      another.dispose();
      tf.dispose([source, target, whole, parts]);
      cache.dispose();
      model.dispose();
    }
  });

  it('must exist, and must not take a cache by themselves', async () => {
    const model = await loadKerasModel(pathOf('translation_3'));
    const options = (leave: string[], input = 'target') => ({leave, input});
    await rejection(
      attachCache(model, undefined, options(['cross_0', 'cross_9'])),
      InvalidArgumentError,
      /"cross_9".*Did you mean "cross_/,
    );
    await rejection(
      attachCache(model, undefined, options(['att_0'])),
      InvalidArgumentError,
      /"att_0".*by itself/,
    );
    await rejection(
      attachCache(model, undefined, options([], 'targett')),
      InvalidArgumentError,
      /inputs are source, target.*"target"/,
    );
    await rejection(
      attachCache(model, undefined, options(['att_source'])),
      ModelError,
      /"cross_0" .*leave: \["cross_0"\]/,
    );
    await rejection(
      attachCache(model, undefined, {leave: 'cross_0'} as object),
      InvalidArgumentError,
      /leave = "cross_0"; expected a list of names/,
    );
    for (const layer of model.layers) expect(Object.hasOwn(layer, 'call'), layer.name).to.equal(false);
    model.dispose();
  });
});

describe('adapters of users', () => {
  before(() => useBackend('wasm'));

  it('go before those of the package for a class of the same name', async () => {
    let asked = 0;
    const model = modelOf(() => new MultiHeadAttention({}));
    const builtIn = multiHeadAdapter();
    registerAttentionAdapter({
      className: 'MultiHeadAttention',
      describe: layer => {
        asked++;
        return builtIn.describe(layer);
      },
    });
    (await attachCache(model)).dispose();
    expect(asked).to.be.above(1);
    expect(() => registerAttentionAdapter(multiHeadAdapter())).to.throw(InvalidArgumentError, /already/);
    model.dispose();
  });
});
