import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {SourceCache, float8, full, h2o, quantized} from '../../cache/index.js';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {maskedAttention} from '../../layers/keras/masked_attention.js';
import {attachCache, loadKerasModel} from '../../models/index.js';
import {describeOnBackends} from '../support/backends.js';
import {pathOf} from '../support/keras_exports.js';
import {expectClose, expectNoLeak, randomTensor4d} from '../support/tensors.js';

const [batch, heads, kvHeads, tokens, dim, dimV] = [2, 4, 2, 200, 8, 6];

function tensorsOf(queryTokens: number) {
  return {
    queries: randomTensor4d(1, batch, heads, queryTokens, dim),
    keys: randomTensor4d(2, batch, kvHeads, tokens, dim),
    values: randomTensor4d(3, batch, kvHeads, tokens, dimV),
  };
}
const padding = () =>
  tf.tensor2d(
    Array.from({length: batch * tokens}, (_, i) => (i % 7 !== 3 && i < 385 ? 1 : 0)),
    [batch, tokens],
    'bool',
  );

describeOnBackends('SourceCache', () => {
  for (const masked of [false, true]) {
    it(`gives the attention over a whole source, ${masked ? 'but padding' : 'in any steps'}`, async () => {
      const {queries, keys, values} = tensorsOf(5);
      const mask = masked ? padding() : undefined;
      const scale = 0.3;
      const expected = maskedAttention(queries, keys, values, {
        scale,
        visibility: {keys: mask ? [mask] : []},
      });
      for (const [policy, tolerance] of [
        [full(), 1e-5],
        [quantized({bits: 8, groupSize: 8}), 0.02],
        [float8(), 0.1],
      ] as const) {
        const source = new SourceCache(policy);
        const layer = {};
        let projections = 0;
        const project = () => {
          projections++;
          return {keys, values, mask};
        };
        const attend = (from: number, count: number) =>
          source.attend(layer, tf.slice(queries, [0, 0, from, 0], [-1, -1, count, -1]), {
            ...{project, scale, size: [batch, tokens]},
          });
        const parts = tf.tidy(() => tf.concat([attend(0, 3), attend(3, 1), attend(4, 1)], 2));
        await expectClose(parts, expected, tolerance, policy.name);
        expect(projections).to.equal(1);
        expect(source.tokens).to.equal(tokens);
        parts.dispose();
        source.dispose();
        expect(source.tokens).to.equal(0);
      }
      tf.dispose([queries, keys, values, expected]);
      mask?.dispose();
    });
  }

  it('takes fewer bytes where its policy does, and leaves nothing behind', async () => {
    const run = (policy: ReturnType<typeof full>) => {
      const {queries, keys, values} = tensorsOf(1);
      const source = new SourceCache(policy);
      for (const layer of [{}, {}]) {
        source
          .attend(layer, queries, {size: [batch, tokens], project: () => ({keys, values, mask: undefined})})
          .dispose();
      }
      const {byteSize} = source;
      source.dispose();
      tf.dispose([queries, keys, values]);
      return byteSize;
    };
    const floats = 4 * 2 * batch * kvHeads * tokens * (dim + dimV);
    expect(run(full())).to.equal(floats);
    expect(run(quantized({bits: 4, groupSize: 8, sinks: 0}))).to.be.below(floats / 2);
    await expectNoLeak(() => run(quantized({bits: 8, groupSize: 8})));
  });

  it('refuses policies that evict, another source, and weights that changed', () => {
    expect(() => new SourceCache(h2o({heavyBudget: 16}))).to.throw(InvalidArgumentError, /evicts tokens/);
    expect(() => new SourceCache('transform')).to.throw(InvalidArgumentError, /transform.*one model/);
    expect(() => new SourceCache('quantised')).to.throw(InvalidArgumentError, /Did you mean "quantized"/);
    tf.tidy(() => {
      const {queries, keys, values} = tensorsOf(1);
      const source = new SourceCache();
      const layer = tf.layers.dense({units: 2, inputShape: [3]});
      layer.apply(tf.input({shape: [3]}));
      const attend = (size: [number, number]) =>
        source.attend(layer, queries, {size, project: () => ({keys, values})});
      attend([batch, tokens]);
      expect(() => attend([batch, tokens + 1])).to.throw(
        InvalidArgumentError,
        /2 texts of 200 tokens, but the source is 2 texts of 201/,
      );
      expect(() => attend([1, tokens])).to.throw(InvalidArgumentError, /reset/);
      layer.setWeights(layer.getWeights().map(weight => tf.zerosLike(weight)));
      expect(() => attend([batch, tokens])).to.throw(CacheStateError, /weights of a layer changed/);
      source.reset();
      attend([batch, tokens]);
      source.dispose();
      layer.dispose();
    });
  });

  it('serves the cross attention of a model of Keras', async () => {
    const leave = ['att_source', 'cross_0', 'cross_1'];
    for (const name of ['translation_2', 'translation_3']) {
      const model = await loadKerasModel(pathOf(name));
      const cache = await attachCache(model, undefined, {leave, input: 'target', checkTokens: 16});
      const given = tf.tensor2d([[4, 9, 2, 0, 0]], undefined, 'int32');
      const target = tf.tensor2d([[3, 17, 5, 9, 12, 8]], undefined, 'int32');
      const whole = model.predict([given, target]) as tf.Tensor;
      for (const [policy, tolerance] of [
        [full(), 1e-5],
        [quantized({bits: 8, groupSize: 4, sinks: 0}), 0.05],
      ] as const) {
        cache.reset();
        const source = new SourceCache(policy);
        const parts = tf.tidy(() => {
          const step = (from: number, count: number) =>
            model.apply([given, tf.slice(target, [0, from], [-1, count])], {cache, source}) as tf.Tensor;
          return tf.concat([step(0, 3), step(3, 1), step(4, 2)], 1);
        });
        await expectClose(parts, whole, tolerance, policy.name);
        expect(source.tokens).to.equal(5);
        parts.dispose();
        source.dispose();
      }
      tf.dispose([given, target, whole]);
      cache.dispose();
      model.dispose();
    }
  });
});
