import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {
  capacityOf,
  expectRank4,
  encodingBytes,
  headsOf,
  mapTensors,
  tensorsOf,
  type LowRankEncoding,
} from '../../../ops/encodings/encoding.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {append} from '../../../ops/append/index.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import {describeOnBackends} from '../../support/backends.js';
import {oneOfEach} from '../../support/encodings.js';
import {expectClose} from '../../support/tensors.js';

const ones = (...shape: [number, number, number, number]): tf.Tensor4D => tf.ones(shape);

describeOnBackends('encodings', () => {
  it('name their tensors and say how many tokens a row covers', () => {
    tf.tidy(() => {
      const rows = Object.fromEntries(
        Object.entries(oneOfEach()).map(([name, encoding]) => [
          name,
          Object.fromEntries(
            Object.entries(tensorsOf(encoding)).map(([tensor, {tokensPerRow}]) => [tensor, tokensPerRow]),
          ),
        ]),
      );
      expect(rows).to.deep.equal({
        dense: {data: 1},
        perChannel: {codes: 1, params: 4},
        perToken: {codes: 1, params: 1},
        float8: {codes: 1, scales: 1},
        lloydMax: {codes: 16, scales: 16},
        lowRank: {'latents.codes': 1, 'latents.scales': 1, basis: Infinity, mean: Infinity},
      });
    });
  });

  it('know their heads, how many tokens they hold, and their bytes', () => {
    tf.tidy(() => {
      const bytes = Object.fromEntries(
        Object.entries(oneOfEach()).map(([name, encoding]) => {
          expect(headsOf(encoding), name).to.deep.equal({batch: 2, kvHeads: 3});
          expect(capacityOf(encoding), name).to.equal(16);
          return [name, encodingBytes(encoding) / (4 * 6)]; // words of one head
        }),
      );
      expect(bytes).to.deep.equal({
        dense: 16 * 16,
        perChannel: 16 * 2 + 4 * 16,
        perToken: 16 * 2 + 16 * 2,
        float8: 16 * 4 + 16,
        lloydMax: (60 + 9) / 3,
        lowRank: 16 * 1 + 16 + 4 * 16 + 16,
      });
    });
  });

  it('hold no more tokens than their smallest tensor', () => {
    tf.tidy(() => {
      const {perChannel} = oneOfEach();
      const shorter = mapTensors(perChannel!, (tensor, name) =>
        name === 'params' ? ones(2, 3, 1, 16) : tensor,
      );
      expect(capacityOf(shorter)).to.equal(4);
    });
  });

  it('map each tensor once and keep the rest of the encoding', () => {
    tf.tidy(() => {
      for (const encoding of Object.values(oneOfEach())) {
        const seen: string[] = [];
        const mapped = mapTensors(encoding, (tensor, name) => {
          seen.push(name);
          return tensor;
        });
        expect(seen).to.deep.equal(Object.keys(tensorsOf(encoding)));
        expect(mapped).to.deep.equal(encoding);
        expect(mapped).not.to.equal(encoding);
      }
    });
  });

  it('grow by appending blocks, whatever the latents are', async () => {
    const block = (value: number, tokens: number): LowRankEncoding => ({
      kind: 'lowRank',
      dim: 3,
      rank: 1,
      latents: {kind: 'dense', dim: 1, data: tf.fill([1, 1, tokens, 1], value)},
      basis: tf.tensor4d([1, 10, 100], [1, 1, 1, 3]),
    });
    const grown = tf.tidy(() => {
      const [first, second] = [block(2, 4), block(5, 2)];
      const buffers = tensorsOf(first);
      const encoding = mapTensors(second, (tensor, name, {tokensPerRow}) =>
        tokensPerRow === Infinity ? tensor : append(buffers[name]!.tensor, tensor, 4, 8),
      );
      return decodeEncoding(encoding, 3, 2);
    });
    await expectClose(grown, [2, 20, 200, 5, 50, 500], 0);
    grown.dispose();
  });

  it('have four axes', () => {
    expect(() => expectRank4(tf.ones([2, 3]), 'x')).to.throw(InvalidArgumentError, /x has shape \[2, 3\]/);
  });
});
