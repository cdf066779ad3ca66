import {codecNames, makeCodec} from '../../cache/codecs/as_store.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {appendSegment} from '../../cache/past/segments.js';
import {attend} from '../../ops/attention/attend/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {type Encoding, encodingBytes, tensorsOf} from '../../ops/encodings/encoding.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';
import {codecVariants, shipped, throughJson, variantName} from './variants.js';

describe('the codec registry', () => {
  it('has every codec in this contract test', () => {
    const tested = new Set(codecVariants.map(({name}) => name));
    expect(shipped(codecNames()).filter(name => !tested.has(name))).to.deep.equal([]);
  });
});

const random = (shape: [number, number, number, number], seed: number): tf.Tensor4D =>
  tf.randomNormal(shape, 0, 1, 'float32', seed);

for (const variant of codecVariants) {
  describeOnBackends(`codec ${variantName(variant)}`, backend => {
    const codec = makeCodec(variant);
    const blocks = (count: number): number => count * codec.blockTokens;
    beforeEach(() => tf.engine().startScope());
    afterEach(() => tf.engine().endScope());

    /** What a cache does: the numbers that the codec decides by are awaited first. */
    const encoded = async (x: tf.Tensor4D): Promise<Encoding> =>
      codec.encode(x, undefined, await codec.decidedBy?.(x).data());

    /** Some bounds are counted on the host, which webgpu cannot do. */
    async function boundOf(x: tf.Tensor4D): Promise<tf.Tensor> {
      if (backend !== 'webgpu') return codec.errorBound(x);
      const numbers = await x.data();
      await tf.setBackend('cpu');
      const bound = codec.errorBound(tf.tensor4d(numbers, x.shape));
      const bounds = await bound.data();
      await tf.setBackend(backend);
      return tf.tensor(bounds, bound.shape);
    }

    it('decodes what it encoded within its stated error, for any numbers', async () => {
      const inputs: Record<string, (tokens: number, dim: number) => tf.Tensor4D> = {
        normal: (tokens, dim) => random([2, 2, tokens, dim], 7),
        zeros: (tokens, dim) => tf.zeros([1, 2, tokens, dim]),
        constant: (tokens, dim) => tf.fill([1, 1, tokens, dim], -3.7),
        offset: (tokens, dim) => random([1, 2, tokens, dim], 8).add(100),
        outlier: (tokens, dim) =>
          tf.concat([random([1, 1, tokens, dim - 1], 9), tf.fill([1, 1, tokens, 1], 5e3)], 3),
        tiny: (tokens, dim) => random([1, 1, tokens, dim], 10).mul(1e-30),
        huge: (tokens, dim) => random([1, 1, tokens, dim], 11).mul(1e30),
      };
      for (const [name, make] of Object.entries(inputs)) {
        for (const count of [1, 3]) {
          const x = make(blocks(count), 24);
          const error = tf.abs(tf.sub(decodeEncoding(await encoded(x), 0, blocks(count)), x));
          const rounding = tf.mul(tf.max(tf.abs(x)), 1e-6);
          const [beyond] = await tf.max(tf.sub(error, tf.add(await boundOf(x), rounding))).data();
          expect(beyond, `${name}, ${blocks(count)} tokens`).to.be.at.most(0);
        }
      }
    });

    it('stores a text in a batch as it stores it alone', async () => {
      const tokens = blocks(4);
      const x = tf.tidy(() =>
        tf.concat<tf.Tensor4D>([
          random([1, 2, tokens, 12], 4),
          tf.tile<tf.Tensor4D>(random([1, 2, tokens, 3], 5), [1, 1, 1, 4]), // of rank 3
          tf.zeros([1, 2, tokens, 12]),
        ]),
      );
      const alone: tf.Tensor4D[] = [];
      for (const text of [0, 1, 2]) {
        const own = await encoded(tf.slice(x, [text, 0, 0, 0], [1, -1, -1, -1]));
        alone.push(decodeEncoding(own, 0, tokens));
      }
      await expectClose(decodeEncoding(await encoded(x), 0, tokens), tf.concat(alone), 1e-5);
    });

    it('attends as dense attention over the decoded tokens does', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({min: 1, max: 3}),
          fc.integer({min: 1, max: 3}),
          fc.integer({min: 1, max: 4}),
          fc.integer({min: 1, max: 5}),
          fc.integer({min: 2, max: 20}),
          async (batch, kvHeads, group, count, dim) => {
            const tokens = blocks(count);
            const queries = random([batch, kvHeads * group, 2, dim], 1);
            const [k, v] = [
              random([batch, kvHeads, tokens, dim], 2),
              random([batch, kvHeads, tokens, dim], 3),
            ];
            const attention = (keys: Encoding, values: Encoding) =>
              mergePartials([attend(queries, keys, values, {tokens, scale: 1 / Math.sqrt(dim)})]);
            const [keys, values] = [await encoded(k), await encoded(v)];
            const [actual, expected] = tf.tidy(() => {
              const decoded = (encoding: Encoding): Encoding => ({
                kind: 'dense',
                dim,
                data: decodeEncoding(encoding, 0, tokens),
              });
              return [attention(keys, values), attention(decoded(keys), decoded(values))];
            });
            await expectClose(actual, expected, 2e-5);
            tf.dispose([queries, k, v, actual, expected]);
          },
        ),
        {numRuns: backend === 'webgpu' ? 2 : 12}, // each dim is compiled there
      );
    });

    it('gives the same segment for any chunking of appends', async () => {
      const chunks = [1, 2, 1, 3].map(blocks);
      const total = chunks.reduce((a, b) => a + b, 0);
      const x = random([2, 3, total, 12], 4);
      const first = await encoded(tf.slice(x, [0, 0, 0, 0], [-1, -1, chunks[0]!, -1]));
      const segment = (from: number, tokens: number) => {
        const encoding = codec.encode(tf.slice(x, [0, 0, from, 0], [-1, -1, tokens, -1]), first);
        return {keys: encoding, values: encoding, tokens, positions: from};
      };
      let from = 0;
      let grown: ReturnType<typeof appendSegment> | undefined;
      for (const tokens of chunks) {
        grown = appendSegment(grown, segment(from, tokens));
        from += tokens;
      }
      expect(grown!.tokens).to.equal(total);
      expect(grown!.positions).to.equal(0);
      await expectClose(
        decodeEncoding(grown!.keys, 0, total),
        decodeEncoding(segment(0, total).keys, 0, total),
        0,
      );
    });

    it('uses the bytes that it reports, fewer than float32', async () => {
      const tokens = Math.ceil(256 / codec.blockTokens) * codec.blockTokens;
      const encoding = await encoded(random([1, 2, tokens, 32], 5));
      const sizes = Object.values(tensorsOf(encoding)).map(({tensor}) => tensor.size * 4);
      expect(encodingBytes(encoding)).to.equal(sizes.reduce((a, b) => a + b, 0));
      const dense = 2 * tokens * 32 * 4;
      if (variant.incompressible === true) expect(encodingBytes(encoding)).to.be.at.least(dense);
      else expect(encodingBytes(encoding)).to.be.below(dense);
    });

    it('survives JSON', () => {
      const again = makeCodec(throughJson({name: codec.name, options: codec.options}));
      expect(again.options).to.deep.equal(codec.options);
    });

    it('leaks no tensor and leaves its input alone', async () => {
      const x = random([1, 2, blocks(2), 8], 6);
      const before = (await x.data()).slice();
      const decided = await codec.decidedBy?.(x).data();
      await expectNoLeak(() => tf.tidy(() => void codec.encode(x, undefined, decided)));
      expect(await x.data()).to.deep.equal(before);
    });
  });
}
