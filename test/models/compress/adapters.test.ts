import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {
  type CompressOptions,
  calibrate,
  compressModel,
  fusedQkvAdapter,
  registerAttentionAdapter,
} from '../../../models/index.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError, ModelError} from '../../../ops/errors.js';
import {randomFloats} from '../../support/random.js';
import {expectClose} from '../../support/tensors.js';
import {rejection} from '../weights/rejection.js';

const [dim, heads, tokens, vocab] = [12, 3, 20, 40];

/** Plain causal attention over `[tokens, dim]` matrices of each head: other people's code, written apart from ours. */
function causal(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
  const size = q.shape.at(-1)!;
  const n = q.shape.at(-2)!;
  const mask = tf.linalg.bandPart(tf.ones([n, n]), -1, 0);
  const scores = tf.add(tf.div(tf.matMul(q, k, false, true), Math.sqrt(size)), tf.mul(tf.sub(mask, 1), 1e9));
  return tf.matMul(tf.softmax(scores), v);
}

/** As Keras lays its weights. */
class MultiHeadAttention extends tf.layers.Layer {
  static readonly className = 'MultiHeadAttention';
  private readonly named: Record<string, tf.LayerVariable> = {};

  override build(): void {
    for (const side of ['query', 'key', 'value', 'attention_output']) {
      const isOutput = side === 'attention_output';
      const size = dim / heads;
      this.named[side] = this.addWeight(
        `${side}/kernel`,
        isOutput ? [heads, size, dim] : [dim, heads, size],
        'float32',
        tf.initializers.glorotUniform({}),
      );
      this.named[`${side}Bias`] = this.addWeight(
        `${side}/bias`,
        isOutput ? [dim] : [heads, size],
        'float32',
        tf.initializers.zeros(),
      );
    }
    super.build([]);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      const read = (name: string) => this.named[name]!.read();
      const projected = (side: string) => {
        const flat = tf.matMul(tf.reshape(x, [-1, dim]), tf.reshape(read(side), [dim, -1]));
        const moved = tf.add(tf.reshape(flat, [-1, x.shape[1]!, heads, dim / heads]), read(`${side}Bias`));
        return tf.transpose(moved, [0, 2, 1, 3]);
      };
      const attended = causal(projected('query'), projected('key'), projected('value'));
      const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, dim]);
      const out = tf.matMul(joined, tf.reshape(read('attention_output'), [dim, dim]));
      return tf.add(tf.reshape(out, [-1, x.shape[1]!, dim]), read('attention_outputBias'));
    });
  }
}

/** As a GPT has it. */
class CausalSelfAttention extends tf.layers.Layer {
  static readonly className = 'CausalSelfAttention';
  private readonly named: tf.LayerVariable[] = [];

  override build(): void {
    const kernel = tf.initializers.glorotUniform({});
    this.named.push(this.addWeight('c_attn', [dim, 3 * dim], 'float32', kernel));
    this.named.push(this.addWeight('c_attn_bias', [3 * dim], 'float32', tf.initializers.zeros()));
    this.named.push(this.addWeight('c_proj', [dim, dim], 'float32', kernel));
    super.build([]);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      const [fused, bias, output] = this.named.map(variable => variable.read());
      const n = x.shape[1]!;
      const qkv = tf.add(tf.matMul(tf.reshape(x, [-1, dim]), fused as tf.Tensor2D), bias!);
      const split = tf.split(tf.reshape(qkv, [-1, n, 3 * dim]), 3, 2);
      const [q, k, v] = split.map(part =>
        tf.transpose(tf.reshape(part, [-1, n, heads, dim / heads]), [0, 2, 1, 3]),
      );
      const joined = tf.reshape(tf.transpose(causal(q!, k!, v!), [0, 2, 1, 3]), [-1, dim]);
      return tf.reshape(tf.matMul(joined, output as tf.Tensor2D), [-1, n, dim]);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), nHead: heads};
  }
}

class GptAttention extends CausalSelfAttention {
  static override readonly className = 'GptAttention' as 'CausalSelfAttention';
}

/** Embedding, two blocks of attention, and logits; texts of any length, or of one. */
function modelOf(make: (name: string) => tf.layers.Layer, length: number | null = null): tf.LayersModel {
  const ids = tf.input({shape: [length]});
  let x = tf.layers.embedding({inputDim: vocab, outputDim: dim}).apply(ids) as tf.SymbolicTensor;
  for (const depth of [0, 1]) {
    const attended = make(`block_${depth}`).apply(x) as tf.SymbolicTensor;
    x = tf.layers.add().apply([x, attended]) as tf.SymbolicTensor;
  }
  const logits = tf.layers.dense({units: vocab}).apply(x) as tf.SymbolicTensor;
  const model = tf.model({inputs: ids, outputs: logits});
  tf.tidy(() =>
    model.setWeights(
      model.getWeights().map(({shape, size}, i) => tf.tensor(randomFloats(50 + i, size, 0.5), shape)),
    ),
  );
  return model;
}

const ids = Array.from(randomFloats(3, 8 * tokens), x => Math.floor(Math.abs(x) * 1000) % vocab);
const kinds: Record<string, (name: string) => tf.layers.Layer> = {
  "Keras' layout": name => new MultiHeadAttention({name}),
  'a fused projection': name => new CausalSelfAttention({name}),
};

for (const [kind, make] of Object.entries(kinds)) {
  for (const length of [null, tokens]) {
    describe(`attention of others, ${kind}, texts of ${length ?? 'any'} tokens`, () => {
      let model: tf.LayersModel;
      before(async () => {
        await useBackend('wasm');
        model = modelOf(make, length);
      });
      after(() => model.dispose());

      const logits = async (of: tf.LayersModel, cache?: KVCache) => {
        const out = tf.tidy(
          () => of.apply(tf.tensor2d(ids.slice(0, tokens), [1, tokens]), cache && {cache}) as tf.Tensor,
        );
        const numbers = await out.data();
        out.dispose();
        return numbers;
      };
      const compress = async (options: CompressOptions) =>
        compressModel(model, await calibrate({model}, [ids], {window: tokens}), options);

      it('at full rank gives the same logits', async () => {
        const {model: whole} = await compress({ratio: 1, center: true});
        await expectClose(await logits(whole), await logits(model), 1e-4);
        whole.dispose();
      });

      it('takes a cache once it is compressed, and predicts its errors', async () => {
        const {model: low, rows} = await compress({ratio: 0.5, sample: ids.slice(0, tokens)});
        expect(rows.map(({keyRank, valueRank}) => keyRank + valueRank).reduce((a, b) => a + b)).to.equal(8);
        for (const {measured} of rows) expect(measured!.valueError).to.be.above(0).and.below(1);
        const cache = new KVCache(low);
        await expectClose(await logits(low, cache), await logits(low), 1e-4);
        expect(cache.tokens).to.equal(tokens);
        cache.dispose();
        low.dispose();
      });
    });
  }
}

describe('adapters', () => {
  before(() => useBackend('wasm'));

  it('can be added for layers of other names, once', async () => {
    const model = modelOf(name => new GptAttention({name}));
    await rejection(
      calibrate({model}, [ids]),
      InvalidArgumentError,
      /"block_0" \(GptAttention\).*registerAttentionAdapter/,
    );
    registerAttentionAdapter(fusedQkvAdapter('GptAttention'));
    expect((await calibrate({model}, [ids])).depths).to.have.length(2);
    expect(() => registerAttentionAdapter(fusedQkvAdapter('GptAttention'))).to.throw(
      InvalidArgumentError,
      /already/,
    );
    model.dispose();
  });

  it('refuse layers that are not what their name says', async () => {
    class Bare extends tf.layers.Layer {
      static readonly className = 'CausalSelfAttention';
    }
    class BareHeads extends tf.layers.Layer {
      static readonly className = 'MultiHeadAttention';
    }
    for (const make of [(name: string) => new Bare({name}), (name: string) => new BareHeads({name})]) {
      const model = modelOf(make);
      await rejection(calibrate({model}, [ids]), ModelError, /"block_0"/);
      model.dispose();
    }
  });

  it('need whole texts where a model takes no other length', async () => {
    const model = modelOf(name => new CausalSelfAttention({name}), tokens);
    await rejection(calibrate({model}, [ids.slice(0, tokens - 1)]), InvalidArgumentError, /20 at least/);
    model.dispose();
  });
});
