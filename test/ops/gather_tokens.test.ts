import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {capacityOf, encodingBytes, headsOf, tensorsOf, type Encoding} from '../../ops/encodings/encoding.js';
import type {Width} from '../../ops/encodings/lloyd_max_levels.js';
import {gatherBlocks, gatherRows, gatherTokens} from '../../ops/gather_tokens/index.js';
import {quantizeLloydMax} from '../../ops/lloyd_max/index.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {
  disposeEncoding,
  lowRankStorages,
  randomLowRank,
  randomTokens,
  sharedTokens,
  tokenStorages,
} from '../support/encodings.js';
import {randomFloats, randomStream} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

describeOnBackends(
  'gatherTokens',
  backend => {
    const cases = fc.record({
      batch: fc.integer({min: 1, max: 2}),
      kvHeads: fc.integer({min: 1, max: 3}),
      blocks: fc.integer({min: 1, max: 6}),
      // blocks of several groups; and encodings of single tokens take blocks of any length
      groupsOfBlock: fc.integer({min: 1, max: 3}),
      spare: fc.integer({min: 0, max: 3}),
      dim: fc.integer({min: 1, max: 34}),
      kept: fc.integer({min: 0, max: 9}),
      onHost: fc.boolean(),
      seed: fc.integer(),
    });

    const encodings = fc.oneof(
      tokenStorages.map(storage => ({storage})),
      lowRankStorages.map(lowRank => ({lowRank})),
    );

    it('commutes with decoding: keeps the named blocks of each head, every number as it was', () =>
      fc.assert(
        fc.asyncProperty(cases, encodings, async (one, how) => {
          const {batch, kvHeads, blocks, groupsOfBlock, spare, dim, kept, onHost, seed} = one;
          const blockTokens =
            groupsOfBlock * sharedTokens('storage' in how ? how.storage : how.lowRank.latents);
          const tokens = blocks * blockTokens;
          const shape = {batch, kvHeads, tokens, capacity: tokens + spare, dim};
          const encoding: Encoding =
            'storage' in how
              ? randomTokens(shape, how.storage, seed)
              : randomLowRank(shape, how.lowRank, seed);
          const next = randomStream(seed);
          const numbers = Int32Array.from({length: batch * kvHeads * kept}, () =>
            Math.floor(next() * blocks),
          );
          const indices = onHost ? numbers : tf.tensor3d(numbers, [batch, kvHeads, kept], 'int32');
          const gather = () =>
            blockTokens === 1
              ? gatherTokens(encoding, indices)
              : gatherBlocks(encoding, indices, blockTokens);
          const gathered = gather();
          const keptTokens = kept * blockTokens;
          expect(capacityOf(gathered)).to.equal(keptTokens);
          const [before, after] = [
            decodeEncoding(encoding, 0, tokens),
            decodeEncoding(gathered, 0, keptTokens),
          ];
          const old = await before.data();
          const expected = Float32Array.from({length: batch * kvHeads * keptTokens * dim}, (_, at) => {
            const row = Math.floor(at / dim);
            const head = Math.floor(row / keptTokens);
            const block = numbers[Math.floor(row / blockTokens)]!;
            return old[(head * tokens + block * blockTokens + (row % blockTokens)) * dim + (at % dim)]!;
          });
          // a product of a batch of other rows may add up in another order
          await expectClose(after, expected, encoding.kind === 'lowRank' ? 1e-5 : 0);
          const plain = withReference('GatherRows', gather);
          for (const [name, {tensor, tokensPerRow}] of Object.entries(tensorsOf(gathered))) {
            await expectClose(tensor, tensorsOf(plain)[name]!.tensor, 0, name);
            if (tokensPerRow !== Infinity) tf.dispose([tensor, tensorsOf(plain)[name]!.tensor]);
            else expect(tensor).to.equal(tensorsOf(encoding)[name]!.tensor);
          }
          disposeEncoding(encoding);
          tf.dispose([before, after]);
          if (indices instanceof tf.Tensor) indices.dispose();
        }),
        {numRuns: 60},
      ));

    it('copies words of any bits', async () => {
      const words = Int32Array.of(-1, 0x7fffffff, -0x80000000, 16777217, -16777217, 1);
      const data = tf.tensor4d(words, [1, 2, 3, 1], 'int32');
      const rows = gatherRows(data, Int32Array.of(2, 0, 1, 1));
      expect(rows.dtype).to.equal('int32');
      expect([...(await rows.data())]).to.deep.equal([-0x80000000, -1, -16777217, -16777217]);
      tf.dispose([data, rows]);
    });

    it('keeps other tiles of each head that lies beside others', async () => {
      const [batch, tokens, dim] = [2, 64, 24];
      const widths: Width[][] = [
        [3, 0, 8],
        [0, 0, 0],
        [1, 4, 2],
      ];
      const x = tf.tensor4d(randomFloats(5, batch * 3 * tokens * dim), [batch, 3, tokens, dim]);
      const encoding = quantizeLloydMax(x, widths);
      const indices = Int32Array.of(3, 1, 0, 2, 2, 0, 1, 3, 0, 0, 2, 1);
      const gather = () => gatherBlocks(encoding, indices, 16);
      const [kept, plain] = [gather(), withReference('GatherRows', gather)];
      expect(headsOf(kept)).to.deep.equal({batch, kvHeads: 3});
      await expectClose(kept.codes, plain.codes, 0);
      await expectClose(kept.scales, plain.scales, 0);
      const keptNumbers = tf.tidy(() => {
        const ofTile = (head: number, tile: number) =>
          tf.slice(x, [(head / 3) | 0, head % 3, tile * 16, 0], [1, 1, 16, -1]);
        const ofHead = (head: number) =>
          tf.concat(
            [0, 1].map(i => ofTile(head, indices[2 * head + i]!)),
            2,
          );
        const text = (at: number) =>
          tf.concat(
            [0, 1, 2].map(head => ofHead(3 * at + head)),
            1,
          );
        return tf.concat<tf.Tensor4D>([text(0), text(1)], 0);
      });
      const expected = quantizeLloydMax(keptNumbers, widths);
      await expectClose(kept.codes, expected.codes, 0);
      await expectClose(kept.scales, expected.scales, 0);
      for (const made of [encoding, kept, plain, expected]) disposeEncoding(made);
      tf.dispose([x, keptNumbers]);
    });

    it('keeps single tokens of tiles, in new tiles', () =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({min: 1, max: 2}),
          fc.array(fc.array(fc.constantFrom<Width>(0, 1, 2, 3, 5, 8), {minLength: 3, maxLength: 3}), {
            minLength: 1,
            maxLength: 3,
          }),
          fc.integer({min: 1, max: 4}),
          fc.integer({min: 0, max: 3}),
          fc.integer(),
          async (batch, widths, tiles, keptTiles, seed) => {
            const [heads, tokens, kept, dim] = [batch * widths.length, 16 * tiles, 16 * keptTiles, 24];
            const shape: tf.Tensor4D['shape'] = [batch, widths.length, tokens, dim];
            const x = tf.tensor4d(randomFloats(seed, heads * tokens * dim), shape);
            const encoding = quantizeLloydMax(x, widths);
            const next = randomStream(seed);
            const indices = Int32Array.from({length: heads * kept}, () => Math.floor(next() * tokens));
            const gather = () => gatherTokens(encoding, indices);
            const [gathered, plain] = [gather(), withReference('GatherTiled', gather)];
            await expectClose(gathered.codes, plain.codes, 0);
            await expectClose(gathered.scales, plain.scales, 0);
            const [before, after] = [encoding, gathered].map(of => decodeEncoding(of, 0, capacityOf(of)));
            const rows = gatherRows(before!, indices);
            await expectClose(after!, rows, 0);
            for (const made of [encoding, gathered, plain]) disposeEncoding(made);
            tf.dispose([x, before!, after!, rows]);
          },
        ),
        {numRuns: 40},
      ));

    it('fills whole tiles, and says which tokens there are', () => {
      const encoding = quantizeLloydMax(tf.ones([1, 2, 32, 8]), [[2], [3]]);
      const refuse = (indices: Int32Array, message: RegExp) => {
        expect(() => gatherTokens(encoding, indices)).to.throw(InvalidArgumentError, message);
      };
      refuse(
        new Int32Array(30),
        /15 tokens of lloydMax codes are kept for each head; expected a multiple of 16/,
      );
      refuse(new Int32Array(32).fill(32, 3, 4), /1 indices name no token; expected integers from 0 to 31/);
      const outside = tf.tensor3d(new Int32Array(32).fill(-1, 30), [1, 2, 16], 'int32');
      expect(() => gatherTokens(encoding, outside)).to.throw(InvalidArgumentError, /2 indices name no token/);
      outside.dispose();
      disposeEncoding(encoding);
    });

    it('really frees what is left out', () => {
      const encoding = randomTokens(
        {batch: 1, kvHeads: 2, tokens: 9, capacity: 12, dim: 8},
        {kind: 'float8', format: 'e4m3'},
        1,
      );
      const kept = gatherTokens(encoding, Int32Array.of(1, 8, 0, 4));
      expect(encodingBytes(kept)).to.equal(2 * 2 * (8 + 4));
      disposeEncoding(encoding);
      disposeEncoding(kept);
    });

    it('leaks nothing', async () => {
      const shape = {batch: 1, kvHeads: 2, tokens: 5, capacity: 6, dim: 8};
      const encoding = randomTokens(shape, {kind: 'float8', format: 'e5m2'}, 1);
      await expectNoLeak(() =>
        Object.values(tensorsOf(gatherTokens(encoding, Int32Array.of(1, 2)))).map(t => t.tensor),
      );
      disposeEncoding(encoding);
    });

    it('refuses integers whose scales belong to several tokens', () => {
      const layout = {
        kind: 'integer',
        bits: 4,
        groupAxis: 'channel',
        groupSize: 4,
        symmetric: false,
      } as const;
      const encoding = randomTokens({batch: 1, kvHeads: 1, tokens: 8, capacity: 8, dim: 4}, layout, 1);
      expect(() => gatherTokens(encoding, Int32Array.of(1))).to.throw(
        InvalidArgumentError,
        /4 tokens of integer codes share a row of params/,
      );
      expect(() => gatherBlocks(encoding, Int32Array.of(0), 6)).to.throw(
        InvalidArgumentError,
        /blocks of 6 cannot be kept: gather blocks of a multiple of 4/,
      );
      expect(() => gatherBlocks(encoding, Int32Array.of(0), 0)).to.throw(
        InvalidArgumentError,
        /integer from 1/,
      );
      disposeEncoding(encoding);
    });

    it('refuses indices that fit no head', () => {
      const encoding: Encoding = {kind: 'dense', dim: 3, data: tf.ones([1, 2, 4, 3])};
      expect(() => gatherTokens(encoding, Int32Array.of(1, 2, 3))).to.throw(
        InvalidArgumentError,
        /3 indices/,
      );
      for (const indices of [tf.zeros<tf.Rank.R3>([1, 3, 1], 'int32'), tf.zeros<tf.Rank.R3>([1, 2, 1])]) {
        expect(() => gatherTokens(encoding, indices)).to.throw(
          InvalidArgumentError,
          /expected int32 \[1, 2, kept\]/,
        );
        indices.dispose();
      }
      disposeEncoding(encoding);
    });

    if (backend === 'wasm') {
      it('refuses indices that name no token', () => {
        const encoding: Encoding = {kind: 'dense', dim: 3, data: tf.ones([1, 2, 4, 3])};
        for (const wrong of [4, -1, 2 ** 30]) {
          expect(() => gatherTokens(encoding, Int32Array.of(0, wrong))).to.throw(
            InvalidArgumentError,
            /0 to 3/,
          );
          const codes = quantizeLloydMax(tf.ones([1, 2, 64, 8]), [[2], [3]]);
          expect(() => gatherBlocks(codes, Int32Array.of(0, wrong), 16)).to.throw(
            InvalidArgumentError,
            /0 to 3/,
          );
          disposeEncoding(codes);
        }
        // four tokens hold one whole block of three
        for (const indices of [Int32Array.of(0, 1), tf.tensor3d([0, 1], [1, 2, 1], 'int32')]) {
          expect(() => gatherBlocks(encoding, indices, 3)).to.throw(
            InvalidArgumentError,
            /1 indices name no block of 3 rows; expected integers from 0 to 0/,
          );
        }
        disposeEncoding(encoding);
      });
    }
  },
  testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl'), // no exact 32-bit integers there
);
