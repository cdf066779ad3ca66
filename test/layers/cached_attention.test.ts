import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, quantized, uniformShapes} from '../../cache/index.js';
import {cachedAttention} from '../../layers/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {attentionOracle} from '../support/attention_oracle.js';
import {randomFloats} from '../support/random.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

const sizes = {depths: 2, heads: 4, headDim: 8};
const [vocab, context] = [30, 48];
const dim = sizes.heads * sizes.headDim;

/** A GPT without layers, as people write it with functions of tfjs-core. */
class PlainGpt {
  private readonly weights = new Map<string, tf.Tensor2D>();

  private weight(name: string, rows: number, columns: number): tf.Tensor2D {
    const found = this.weights.get(name);
    if (found !== undefined) return found;
    const made = tf.keep(
      tf.tensor2d(randomFloats(this.weights.size + 1, rows * columns, 0.3), [rows, columns]),
    );
    this.weights.set(name, made);
    return made;
  }

  /** Logits of the last token; with a cache, `ids` are only the new ones. */
  forward(ids: readonly number[], cache?: KVCache): tf.Tensor1D {
    return tf.tidy(() => {
      const positions = tf.range(0, ids.length, 1, 'int32').add(cache?.tokens ?? 0);
      let x = tf.add<tf.Tensor2D>(
        tf.gather(this.weight('tokens', vocab, dim), tf.tensor1d([...ids], 'int32')),
        tf.gather(this.weight('positions', context, dim), tf.cast(positions, 'int32')),
      );
      for (let depth = 0; depth < sizes.depths; depth++) {
        const heads = (name: string): tf.Tensor4D =>
          tf
            .matMul(x, this.weight(`${name}${depth}`, dim, dim))
            .reshape([1, ids.length, sizes.heads, sizes.headDim])
            .transpose([0, 2, 1, 3]);
        const attended = cachedAttention(heads('q'), heads('k'), heads('v'), {cache, depth});
        const joined = attended.transpose([0, 2, 1, 3]).reshape<tf.Tensor2D>([ids.length, dim]);
        x = tf.add(x, tf.matMul(joined, this.weight(`o${depth}`, dim, dim)));
        x = tf.add(x, tf.relu(tf.matMul(x, this.weight(`m${depth}`, dim, dim))));
      }
      return tf
        .matMul(x, this.weight('logits', dim, vocab))
        .slice([ids.length - 1, 0])
        .as1D();
    });
  }

  dispose(): void {
    tf.dispose([...this.weights.values()]);
  }
}

async function best(logits: tf.Tensor1D): Promise<number> {
  const numbers = await logits.data();
  logits.dispose();
  return numbers.indexOf(Math.max(...numbers));
}

async function continued(prompt: readonly number[], count: number, next: (ids: number[]) => tf.Tensor1D) {
  const ids = [...prompt];
  for (let i = 0; i < count; i++) ids.push(await best(next(ids)));
  return ids;
}

describe('cachedAttention', () => {
  let gpt: PlainGpt;
  before(async () => {
    await useBackend('wasm');
    gpt = new PlainGpt();
  });
  after(() => gpt.dispose());

  it('gives a model of plain functions a cache: the same tokens', async () => {
    const prompt = [3, 14, 15, 9];
    const uncached = await continued(prompt, 30, ids => gpt.forward(ids));
    expect(new Set(uncached).size).to.be.above(5);
    for (const plan of [undefined, quantized({bits: 8, groupSize: 8, residual: 8})]) {
      const cache = new KVCache(uniformShapes(sizes), plan);
      const cached = await continued(prompt, 30, ids => gpt.forward(ids.slice(cache.tokens), cache));
      expect(cached.slice(0, 12)).to.deep.equal(uncached.slice(0, 12));
      if (plan === undefined) expect(cached).to.deep.equal(uncached);
      expect(cache.tokens).to.equal(33);
      cache.dispose();
    }
  });

  it('is attention by its definition, without a cache, with a factor and rotary positions of a cache', async () => {
    const [heads, kvHeads, tokens, headDim] = [4, 2, 9, 6];
    const [queries, keys, values] = [heads, kvHeads, kvHeads].map((count, i) =>
      randomFloats(i, count * tokens * headDim),
    );
    const tensor = (x: Float32Array | undefined, count: number) =>
      tf.tensor4d(x!, [1, count, tokens, headDim]);
    const [q, k, v] = [tensor(queries, heads), tensor(keys, kvHeads), tensor(values, kvHeads)];
    const {output} = attentionOracle({
      ...{
        batch: 1,
        heads,
        kvHeads,
        queryTokens: tokens,
        capacity: tokens,
        tokens,
        dim: headDim,
        dimV: headDim,
      },
      ...{scale: 0.7, firstQuery: 0, queries: queries!, keys: keys!, values: values!},
    });
    const found = cachedAttention(q, k, v, {scale: 0.7});
    await expectClose(found, output, 1e-5);
    const rope = {theta: 100};
    const turned = cachedAttention(q, k, v, {rope});
    const cache = new KVCache(uniformShapes({depths: 1, heads, kvHeads, headDim}));
    const steps = tf.tidy(() =>
      tf.concat(
        [
          [0, 4],
          [4, 1],
          [5, 4],
        ].map(([start, count]) => {
          const part = (x: tf.Tensor4D) => tf.slice(x, [0, 0, start!, 0], [-1, -1, count!, -1]);
          return cachedAttention(part(q), part(k), part(v), {cache, rope});
        }),
        2,
      ),
    );
    await expectClose(steps, turned, 1e-5);
    cache.dispose();
    tf.dispose([q, k, v, found, turned, steps]);
  });

  it('leaves nothing behind, and names what does not fit', async () => {
    await expectNoLeak(() => {
      const cache = new KVCache(uniformShapes(sizes));
      tf.dispose([gpt.forward([1, 2, 3], cache), gpt.forward([4], cache)]);
      cache.dispose();
    });
    const cache = new KVCache(uniformShapes({...sizes, heads: 3}));
    expect(() => gpt.forward([1, 2], cache)).to.throw(InvalidArgumentError, /depth 0, queries/);
    cache.dispose();
  });
});
