import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {ModelError} from '../../../base/errors.js';
import {seededRandom} from '../../../base/random.js';
import type {AttentionCache} from '../../../cache/attention_cache.js';
import type {FreshTokens} from '../../../cache/past/fresh_tokens.js';
import {denseAttentions} from '../../../models/compress/dense_attention.js';
import {segmentsOf} from '../../../models/compress/segments.js';
import {stepTokens} from '../../../models/compress/gradient_attention.js';
import {watchGradients} from '../../../models/compress/watch_gradients.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {rotate} from '../../../ops/rotate/index.js';
import {rotationFor} from '../../../ops/rotate/rope.js';
import {rejection} from '../../base/files/rejection.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {tinyModel} from '../../support/tiny_model.js';

const ids = Array.from({length: 2 * stepTokens + 22}, (_, i) => (i * 37 + 11) % 97);
const depths = [0, 1];

describe('gradients', () => {
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel();
  });
  after(() => model.dispose());

  /** All gradients that are shown, by depth: read at once, since their tensors do not last. */
  async function shown(of: tf.LayersModel): Promise<Map<string, Float32Array>> {
    const kept = new Map<string, tf.Tensor>();
    await watchGradients(of, denseAttentions(of), ids, {
      seed: 5,
      see: (depth, {all, later}) => {
        for (const [name, x] of Object.entries({
          keys: all.keys,
          values: all.values,
          laterKeys: later.keys,
          laterValues: later.values,
        })) {
          kept.set(`${depth}/${name}`, tf.keep(tf.clone(x)));
        }
      },
    });
    const read = new Map<string, Float32Array>();
    for (const [name, x] of kept) read.set(name, await x.data<'float32'>());
    tf.dispose([...kept.values()]);
    return read;
  }

  it('are those of the whole model at once, of all queries and of those of later steps', async () => {
    const found = await shown(model);
    const input = tf.tensor2d(ids, [1, ids.length], 'int32');
    const loss = await lossOf(model, input);
    for (const later of [false, true]) {
      const shifts = depths.flatMap(() => [0, 1].map(() => tf.zeros([1, 2, ids.length, 8])));
      const gradients = tf.tidy(() =>
        tf.grads((...changes: tf.Tensor[]) =>
          loss(model.apply(input, {cache: new MaskedAttention(changes, later)}) as tf.Tensor),
        )(shifts),
      );
      for (const depth of depths) {
        const [keys, values] = [gradients[2 * depth]!, gradients[2 * depth + 1]!];
        const name = (side: string) => `${depth}/${later ? `later${side}` : side.toLowerCase()}`;
        await expectClose(found.get(name('Keys'))!, await keys.data(), 2e-5, name('Keys'));
        await expectClose(found.get(name('Values'))!, await values.data(), 2e-5, name('Values'));
        // and they are not zeros, but for the last step's
        expect(Math.max(...found.get(name('Values'))!)).to.be.above(1e-3);
      }
      tf.dispose([shifts, gradients]);
    }
    tf.dispose(input);
    const ofLast = found.get('0/laterValues')!.slice(2 * stepTokens * 8, ids.length * 8);
    expect(Math.max(...ofLast.map(Math.abs))).to.be.below(1e-5);
  });

  it('are the same if the model stands inside another, which has no place to cut', async () => {
    const outer = tf.input({shape: [null], dtype: 'int32'});
    const nested = tf.model({inputs: outer, outputs: model.apply(outer) as tf.SymbolicTensor});
    expect(segmentsOf(nested)).to.have.length(1);
    const [inside, whole] = [await shown(nested), await shown(model)];
    for (const [name, numbers] of whole) await expectClose(inside.get(name)!, numbers, 2e-5, name);
  });

  it('leave nothing behind, also if a layer fails', async () => {
    await expectNoLeak(async () => {
      await shown(model);
      const failing = watchGradients(model, denseAttentions(model), ids, {
        seed: 1,
        see: () => {
          throw new Error('stop');
        },
      });
      await rejection(failing, Error, /stop/);
    });
  });

  it('need a model of one input and one output', () => {
    const [a, b] = [tf.input({shape: [4]}), tf.input({shape: [4]})];
    const two = tf.model({inputs: [a, b], outputs: tf.layers.add().apply([a, b]) as tf.SymbolicTensor});
    expect(() => segmentsOf(two)).to.throw(ModelError, /2 inputs and 1 outputs/);
  });

  it('segments compute what the model does, with one attention each', () => {
    const segments = segmentsOf(model);
    expect(segments.length).to.be.at.least(depths.length + 2);
    tf.tidy(() => {
      const input = tf.tensor2d(ids, [1, ids.length], 'int32');
      const run = segments.reduce<tf.Tensor>((x, segment) => segment.run(x), input);
      const difference = tf.max(tf.abs(tf.sub(run, model.apply(input) as tf.Tensor)));
      expect(difference.arraySync()).to.equal(0);
    });
  });
});

/** sum_t ln p(y_t) as a function of logits, with y drawn as `watchGradients` does. */
async function lossOf(model: tf.LayersModel, input: tf.Tensor): Promise<(logits: tf.Tensor) => tf.Scalar> {
  const chances = tf.tidy(() => tf.softmax(model.apply(input) as tf.Tensor));
  const numbers = await chances.data();
  const [, tokens, vocabSize] = chances.shape as [number, number, number];
  chances.dispose();
  const random = seededRandom(5);
  const drawn = Array.from({length: tokens}, (_, t) => {
    const draw = random();
    let sum = 0;
    const row = numbers.slice(t * vocabSize, (t + 1) * vocabSize);
    return row.findIndex(chance => (sum += chance) > draw);
  });
  return logits =>
    tf.sum(tf.mul(tf.oneHot(tf.tensor2d(drawn, [1, tokens], 'int32'), vocabSize), tf.logSoftmax(logits)));
}

/** Attention by its definition; changes are added to keys and values as queries of later steps, or all, see them. */
class MaskedAttention implements AttentionCache {
  readonly tokens = 0;

  constructor(
    private readonly changes: readonly tf.Tensor[],
    private readonly laterOnly: boolean,
  ) {}

  attend(depth: number, {queries, keys, values, rope}: FreshTokens): tf.Tensor4D {
    const [, heads, tokens, dim] = queries.shape;
    const group = heads / keys.shape[1];
    const rotation = rotationFor(rope!, dim, 0, tokens);
    const each = (x: tf.Tensor): tf.Tensor =>
      tf.concat(
        Array.from({length: heads}, (_, head) =>
          tf.slice(x, [0, Math.floor(head / group), 0, 0], [1, 1, tokens, dim]),
        ),
        1,
      );
    const [q, k, v] = [rotate(queries, rotation), each(rotate(keys, rotation)), each(values)];
    const changedK = tf.add(k, each(this.changes[2 * depth]!));
    const changedV = tf.add(v, each(this.changes[2 * depth + 1]!));
    const step = (token: number) => Math.floor(token / stepTokens);
    const mask = (of: (query: number, key: number) => boolean) =>
      tf.tensor2d(
        Array.from({length: tokens}, (_, i) => Array.from({length: tokens}, (_, j) => Number(of(i, j)))),
      );
    const later = mask((i, j) => j <= i && (!this.laterOnly || step(i) > step(j)));
    const own = mask((i, j) => j <= i && this.laterOnly && step(i) === step(j));
    const scores = tf.add(
      tf.mul(tf.matMul(q, changedK, false, true), later),
      tf.mul(tf.matMul(q, k, false, true), own),
    );
    const hidden = mask((i, j) => j > i);
    const p = tf.softmax(tf.sub(tf.div(scores, Math.sqrt(dim)), tf.mul(hidden, 1e9)));
    return tf.add(tf.matMul(tf.mul(p, later), changedV), tf.matMul(tf.mul(p, own), v));
  }
}
