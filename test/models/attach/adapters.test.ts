import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, float8, h2o, quantized, sliding} from '../../../cache/index.js';
import {
  attachCache,
  calibrate,
  compress,
  fusedQkvAdapter,
  generate,
  registerAttentionAdapter,
  type AttentionAdapter,
} from '../../../models/index.js';
import {tokensHeld} from '../../../cache/past/past.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {ModelError} from '../../../base/errors.js';
import {evaluate} from '../../../src/evaluate/index.js';
import {OddAttention, type OddArgs, modelWith, oddSizes} from '../../support/odd_attention.js';
import {expectClose} from '../../support/tensors.js';
import {randomFloats} from '../../support/random.js';
import {rejection} from '../../base/files/rejection.js';

type Description = ReturnType<AttentionAdapter['describe']>;

/** A class of its own for a kind of attention, and its adapter: a fused projection and what the kind has beside. */
function kindOf(
  className: string,
  odd: OddArgs['odd'],
  beside: (plain: Description) => Partial<Description>,
) {
  class Kind extends OddAttention {
    static override readonly className = className;
    constructor(args: OddArgs = {}) {
      super({...args, odd});
    }
  }
  const plain = fusedQkvAdapter(className);
  registerAttentionAdapter({
    className,
    describe: layer => {
      const described = plain.describe(layer);
      return {...described, ...beside(described)};
    },
  });
  return Kind;
}

const residual = ({parts}: Description): Partial<Description> => ({
  parts: {
    project: x => parts!.project(x),
    output: (attended, x) => tf.add(parts!.output(attended, x), x),
  },
});
const Local = kindOf('LocalAttention', {window: 8}, () => ({window: 8}));
const Scaled = kindOf('ScaledAttention', {scale: 0.6}, () => ({scale: 0.6}));
const Residual = kindOf('ResidualAttention', {residual: true}, residual);
const Rotary = kindOf('RotaryLocalAttention', {rotary: true, window: 5, scale: 0.2}, () => ({
  ...{rope: {theta: 100}, window: 5, scale: 0.2},
}));
const Capped = kindOf('CappedAttention', {cap: 0.7, window: 20}, () => ({softCap: 0.7, window: 20}));
const Alibi = kindOf('AlibiAttention', {alibi: true}, () => ({alibi: true}));
const Distant = kindOf('DistantAttention', {distanceBias: true}, ({layer}) => ({
  relativeBias: () => {
    const [bias] = layer.weights.filter(({shape}) => shape.length === 1);
    return tf.tile(tf.reshape(bias!.read(), [1, 32]), [2, 1]);
  },
}));
/** Biases by distance as after a training. */
class Trained extends Distant {
  override build(inputShape: tf.Shape | tf.Shape[]): void {
    super.build(inputShape);
    for (const weight of this.weights) {
      if (weight.shape.length === 1) tf.tidy(() => void weight.write(tf.tensor1d(randomFloats(3, 32, 2))));
    }
  }
}
const WrongWindow = kindOf('WrongWindowAttention', {window: 8}, () => ({window: 9}));
const WideWindow = kindOf('WideWindowAttention', {}, () => ({window: 64}));
const Normed = kindOf('NormedAttention', {}, () => ({normalises: true}));
const AnyWindow = kindOf('AnyWindowAttention', {}, () => ({window: Infinity}));

const kinds = {
  'a local window': Local,
  'a scale': Scaled,
  'a residual inside': Residual,
  'rotary positions in a window': Rotary,
  'capped scores in a window': Capped,
  'scores that fall with the distance': Alibi,
  'biases by distance': Trained,
};
const ids = Array.from({length: 45}, (_, i) => (7 * i * i + 3 * i) % oddSizes.vocab);

function stepped(model: tf.LayersModel, steps: readonly number[], cache?: KVCache): tf.Tensor {
  return tf.tidy(() => {
    let from = 0;
    const outputs = steps.map(count => {
      const part = [...ids, ...ids].slice(from, (from += count)); // two texts: one begins later
      const other = [...ids.slice(9), ...ids].slice(from - count, from);
      return model.apply(tf.tensor2d([part, other]), cache && {cache}) as tf.Tensor;
    });
    return tf.concat(outputs, 1);
  });
}

describe('adapters of attention that is not plain', () => {
  before(() => useBackend('wasm'));

  for (const [name, Kind] of Object.entries(kinds)) {
    it(`${name}: the same as without a cache, in any steps, two texts at once`, async () => {
      const model = modelWith([new Kind(), new OddAttention({}), new Kind()], {scale: 0.25});
      const whole = stepped(model, [45]);
      for (const steps of [[20, 1, 3, 16, 5], Array.from({length: 45}, () => 1)]) {
        const cache = await attachCache(model);
        const parts = stepped(model, steps, cache);
        await expectClose(parts, whole, 2e-5);
        cache.dispose();
        parts.dispose();
      }
      whole.dispose();
      model.dispose();
    });
  }

  it('generates what the model says without a cache, far beyond its window', async () => {
    const model = modelWith([new Local(), new Rotary()], {scale: 0.25});
    const expected = [5, 17, 3];
    for (let i = 0; i < 40; i++) {
      const next = tf.tidy(() => {
        const logits = model.apply(tf.tensor2d([expected])) as tf.Tensor3D;
        return tf.argMax(tf.slice(logits, [0, expected.length - 1], [1, 1]), 2);
      });
      expected.push((await next.data())[0]!);
      next.dispose();
    }
    const cache = await attachCache(model);
    const found = [5, 17, 3];
    for await (const id of generate(model, [5, 17, 3], {cache, tokens: 40})) found.push(id);
    expect(found).to.deep.equal(expected);
    expect(new Set(found).size).to.be.above(5);
    cache.dispose();
    model.dispose();
  });

  it('a window needs no token beyond it: those that a budget of its size evicts change nothing', async () => {
    const model = modelWith([new Local(), new Local()], {scale: 0.25});
    const whole = stepped(model, [45]);
    const cache = await attachCache(model, sliding({window: 8, sinks: 0}));
    const parts = stepped(
      model,
      Array.from({length: 45}, () => 1),
      cache,
    );
    await expectClose(parts, whole, 2e-5);
    expect(tokensHeld(cache.past(0)!)).to.be.below(30);
    for (const policy of [
      quantized({bits: 8, residual: 4, groupSize: 8}),
      float8(),
      h2o({heavyBudget: 8, recentBudget: 8}),
    ]) {
      const other = new KVCache(model, policy);
      const rough = stepped(
        model,
        Array.from({length: 45}, () => 1),
        other,
      );
      const error = tf.tidy(() => tf.div(tf.max(tf.abs(tf.sub(rough, whole))), tf.max(tf.abs(whole))));
      expect((await error.data())[0]).to.be.below(0.1);
      tf.dispose([rough, error]);
      other.dispose();
    }
    cache.dispose();
    tf.dispose([whole, parts]);
    model.dispose();
  });

  it('evaluation and its monitor see the window', async () => {
    const model = modelWith([new Local()], {scale: 0.25});
    (await attachCache(model)).dispose();
    const text = Array.from({length: 60}, (_, i) => ids[i % 45]!);
    const {
      rows: [exact, same],
    } = await evaluate(model, text, {
      plans: [sliding({window: 8, sinks: 0})],
    });
    expect(same!.klDivergence).to.be.below(1e-6);
    expect(same!.perplexity).to.be.closeTo(exact!.perplexity, 1e-3);
    model.dispose();
  });

  it('a window that the adapter says wrongly is found', async () => {
    const model = modelWith([new WrongWindow({name: 'wrong'})], {scale: 0.25});
    await rejection(attachCache(model), ModelError, /"wrong" .*window of 8\?/);
    model.dispose();
  });

  it('a window as wide as the context, or infinite, is none', async () => {
    for (const make of [() => new WideWindow(), () => new AnyWindow({says: {slidingWindow: 8192}})]) {
      const model = modelWith([make()], {length: 64});
      const cache = await attachCache(model);
      const [parts, whole] = [stepped(model, [20, 25], cache), stepped(model, [45])];
      await expectClose(parts, whole, 2e-5);
      tf.dispose([parts, whole]);
      cache.dispose();
      model.dispose();
    }
  });

  it('compressing takes along how scores are made, and refuses norms', async () => {
    for (const make of [() => new Scaled(), () => new Local(), () => new Capped(), () => new Alibi()]) {
      const model = modelWith([make()], {scale: 0.25});
      const {model: whole} = await compress(model, await calibrate({model}, [ids], {window: 45}), {
        ratio: 1,
      });
      const [compressed, dense] = [stepped(whole, [45]), stepped(model, [45])];
      await expectClose(compressed, dense, 1e-4);
      tf.dispose([compressed, dense]);
      for (const each of [model, whole]) each.dispose();
    }
    const normed = modelWith([new Normed({name: 'normed'})], {scale: 0.25});
    const calibration = await calibrate({model: normed}, [ids], {window: 45});
    await rejection(compress(normed, calibration), ModelError, /"normed" .*normalises queries and keys/);
    normed.dispose();
    const distant = modelWith([new Trained({name: 'distant'})], {scale: 0.25});
    const ofDistant = await calibrate({model: distant}, [ids], {window: 45});
    await rejection(compress(distant, ofDistant), ModelError, /"distant" .*relative biases/);
    distant.dispose();
  });
});
