import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import gptTfjs from 'gpt-tfjs';
import {KVCache} from '../../../cache/index.js';
import {attention, outputHead, positionEmbedding, tokenEmbedding} from '../../../layers/index.js';
import {attachCache, generate, paddedBehind, registerPositionAdapter} from '../../../models/index.js';
import {contextOf} from '../../../models/attach/context.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {ContextLengthError} from '../../../base/errors.js';
import {OddAttention} from '../../support/odd_attention.js';
import {expectClose} from '../../support/tensors.js';
import {rejection} from '../../base/files/rejection.js';

const [dim, vocab, rows] = [16, 40, 12];

/** x plus a learned row for each position. */
class RowsOfPositions extends tf.layers.Layer {
  static readonly className: string = 'RowsOfPositions';
  protected table: tf.LayerVariable | undefined;
  override build(): void {
    this.table = this.addWeight('table', [rows, dim], 'float32', tf.initializers.randomNormal({seed: 1}));
    super.build([]);
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      const positions = tf.range(0, x.shape[1]!, 1, 'int32');
      return tf.add(x, tf.expandDims(tf.gather(this.table!.read(), positions), 0));
    });
  }
}

/** As the Keras example has it: two embeddings inside, which are no weights of the layer. */
class TokenAndPositionEmbedding extends tf.layers.Layer {
  static readonly className: string = 'TokenAndPositionEmbedding';
  private readonly tokenEmb = tf.layers.embedding({inputDim: vocab, outputDim: dim});
  private readonly posEmb = tf.layers.embedding({inputDim: rows, outputDim: dim});
  override build(): void {
    for (const each of [this.tokenEmb, this.posEmb]) each.build([null, null]);
    super.build([]);
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const ids = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      const positions = tf.range(0, ids.shape[1]!, 1, 'int32').expandDims(0);
      return tf.add(this.tokenEmb.apply(ids) as tf.Tensor, this.posEmb.apply(positions) as tf.Tensor);
    });
  }
  override computeOutputShape(shape: tf.Shape | tf.Shape[]): tf.Shape {
    return [...(shape as tf.Shape), dim];
  }
  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), vocabSize: vocab, embedDim: dim};
  }
}

/** Sines that are computed once, for so many positions. */
class StoredSines extends tf.layers.Layer {
  static readonly className: string = 'StoredSines';
  private readonly sines = tf.tidy(() =>
    tf.keep(tf.sin(tf.mul(tf.range(0, rows * dim).reshape([1, rows, dim]), 0.7))),
  );
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      return tf.add(x, tf.slice(this.sines, [0, 0, 0], [1, x.shape[1]!, dim]));
    });
  }
}

/** Positions as numbers, and a layer whose adapter says how far it goes. */
class Ramp extends tf.layers.Layer {
  static readonly className: string = 'Ramp';
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      return tf.add(x, tf.mul(tf.range(0, x.shape[1]!).reshape([1, -1, 1]), 0.1));
    });
  }
}

/** Positions from 0 on, for an embedding behind it. */
class Counted extends tf.layers.Layer {
  static readonly className: string = 'Counted';
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() =>
      tf.range(0, (Array.isArray(inputs) ? inputs[0] : inputs)!.shape[1]!, 1, 'int32').expandDims(0),
    );
  }
}

for (const className of ['RowsOfPositions', 'StoredSines', 'Counted']) {
  registerPositionAdapter({className, behind: paddedBehind});
}
registerPositionAdapter({className: 'Ramp', behind: paddedBehind, tokens: () => rows});

const embedded = (ids: tf.SymbolicTensor) =>
  tf.layers.embedding({inputDim: vocab, outputDim: dim}).apply(ids) as tf.SymbolicTensor;

const models: Record<string, (ids: tf.SymbolicTensor) => tf.SymbolicTensor> = {
  'a table among the weights': ids => new RowsOfPositions({}).apply(embedded(ids)) as tf.SymbolicTensor,
  'embeddings inside a layer': ids => new TokenAndPositionEmbedding({}).apply(ids) as tf.SymbolicTensor,
  'sines that are stored': ids => new StoredSines({}).apply(embedded(ids)) as tf.SymbolicTensor,
  'a limit that the adapter says': ids => new Ramp({}).apply(embedded(ids)) as tf.SymbolicTensor,
  'tf.layers.embedding behind positions': ids => {
    const counted = new Counted({}).apply(ids) as tf.SymbolicTensor;
    const table = tf.layers.embedding({inputDim: rows, outputDim: dim}).apply(counted) as tf.SymbolicTensor;
    return tf.layers.add().apply([embedded(ids), table]) as tf.SymbolicTensor;
  },
};

function modelOf(begin: (ids: tf.SymbolicTensor) => tf.SymbolicTensor): tf.LayersModel {
  const ids = tf.input({shape: [null]});
  const hidden = new OddAttention({}).apply(begin(ids));
  return tf.model({inputs: ids, outputs: tf.layers.dense({units: vocab}).apply(hidden) as tf.SymbolicTensor});
}

const textOf = (tokens: number) => tf.tensor2d([Array.from({length: tokens}, (_, i) => (5 * i) % vocab)]);

/** In one step and token by token, with a cache and without one, in generation. */
async function expectContext(model: tf.LayersModel, most: number): Promise<void> {
  const apply = (tokens: number, cache?: KVCache) =>
    tf.tidy(() => model.apply(textOf(tokens), cache && {cache}) as tf.Tensor);
  const said = new RegExp(`${most} (tokens|positions)`);
  const cache = await attachCache(model);
  const {numTensors} = tf.memory();
  tf.tidy(() => {
    expect(() => apply(most + 1)).to.throw(ContextLengthError, said);
    expect(() => model.predict(textOf(most + 1))).to.throw(ContextLengthError, said);
    expect(() => apply(most + 1, cache)).to.throw(ContextLengthError, said);
    expect(cache.tokens).to.equal(0);
    const whole = apply(most);
    for (let token = 0; token < most; token++) apply(1, cache);
    expect(cache.tokens).to.equal(most);
    expect(() => apply(1, cache)).to.throw(ContextLengthError, said);
    expect(cache.tokens).to.equal(most);
    expect(whole.shape[1]).to.equal(most);
  });
  cache.reset();
  const wide = new KVCache(model, undefined, {beyondContext: true});
  expect(() => apply(most + 1, wide), 'beyond a table there is nothing').to.throw(ContextLengthError);
  for (const each of [cache, wide]) {
    const ids = generate(model, [1, 2, 3], {cache: each, tokens: most - 2});
    await rejection(ids.next(), ContextLengthError, new RegExp(String(most)));
    expect(each.tokens, 'nothing was computed').to.equal(0);
  }
  const found: number[] = [];
  for await (const id of generate(model, [1, 2, 3], {cache})) found.push(id);
  expect(found, 'as many as there is room for').to.have.length(most - 3);
  cache.dispose();
  wide.dispose();
  expect(tf.memory().numTensors).to.be.at.most(numTensors);
}

describe('positions beyond a table of them are refused before anything is computed', () => {
  before(() => useBackend('wasm'));

  for (const [name, begin] of Object.entries(models)) {
    it(name, async () => {
      const model = modelOf(begin);
      await expectContext(model, rows);
      const cache = await attachCache(model);
      const [parts, whole] = tf.tidy<[tf.Tensor, tf.Tensor]>(() => {
        const x = textOf(rows);
        const steps = [0, 5, 6].map((from, i) => tf.slice(x, [0, from], [1, [5, 1, 6][i]!]));
        return [
          tf.concat(
            steps.map(step => model.apply(step, {cache}) as tf.Tensor),
            1,
          ),
          model.apply(x) as tf.Tensor,
        ];
      });
      await expectClose(parts, whole, 1e-5);
      tf.dispose([parts, whole]);
      cache.dispose();
      model.dispose();
    });
  }

  it('a GPT of the package gpt-tfjs', async () => {
    const sizes = {nLayer: 1, nHead: 2, nEmbd: 16, vocabSize: vocab, blockSize: 20, dropout: 0};
    const {model} = gptTfjs.model.GPTLMHeadModel(sizes);
    await expectContext(model, 20);
    model.dispose();
  });

  it('learned positions of eigenkv', async () => {
    const ids = tf.input({shape: [null], dtype: 'int32'});
    const layers = [
      tokenEmbedding({vocabSize: vocab, dim}),
      positionEmbedding({maxPositions: rows}),
      attention({numHeads: 2}),
      outputHead({vocabSize: vocab}),
    ];
    const outputs = layers.reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, ids);
    const model = tf.model({inputs: ids, outputs});
    await expectContext(model, rows);
    model.dispose();
  });

  it('and no table is seen where there is none: projections, tokens, positions that are computed', () => {
    /** Sines, projected. */
    class Projected extends RowsOfPositions {
      static override readonly className: string = 'ProjectedPositions';
      override build(): void {
        this.table = this.addWeight('kernel', [dim, dim], 'float32', tf.initializers.zeros());
        tf.layers.Layer.prototype.build.call(this, []);
      }
    }
    registerPositionAdapter({className: 'ProjectedPositions', behind: paddedBehind});
    const projected = modelOf(ids => new Projected({}).apply(embedded(ids)) as tf.SymbolicTensor);
    const plain = modelOf(embedded);
    for (const model of [projected, plain]) {
      expect(contextOf(model)).to.deep.equal({tables: Infinity, tokens: Infinity});
      model.dispose();
    }
  });
});
