import type {Codec} from '../../cache/contract.js';
import type {Options} from '../../base/options.js';
import {codecNames, makeCodec} from '../../cache/codecs/as_store.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {decodeEncoding, floatBasis} from '../../ops/encodings/decode.js';
import {type Encoding, type LowRankEncoding, encodingBytes, tensorsOf} from '../../ops/encodings/encoding.js';
import {disposeEncoding} from '../support/attention_cases.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {readGolden} from '../support/golden.js';
import {randomStream} from '../support/random.js';
import {expectClose} from '../support/tensors.js';
import {goldenText, smallIntegers} from './golden_text.js';
import {shipped, variantName} from './variants.js';

/** What a codec stores of one run of tokens, `[batch, kvHeads, rows, columns]` flat, and its last token decoded. */
interface GoldenRun {
  readonly codes: number[];
  readonly params?: number[];
  readonly scales?: number[];
  readonly last: number[];
}

interface CodecGolden {
  readonly name: string;
  readonly options: Options;
  readonly dim: number;
  readonly seed: number;
  /** The second run is stored as the first is: by its basis and mean. */
  readonly runs: readonly [GoldenRun, GoldenRun];
  readonly bytes: number;
  /** The same for all heads; where the codec turns. */
  readonly basis?: number[];
  readonly mean?: number[];
}

interface BasisGolden {
  readonly options: Options;
  readonly seed: number;
  readonly rank: number;
  /** Of the first 40 tokens, per head: the least possible. */
  readonly squaredError: number[];
  /** Token 39, and token 47, stored by the basis of the first 40. */
  readonly last: number[];
  readonly later: number[];
}

const golden = readGolden('cache/codecs.json') as {
  readonly tokens: number;
  readonly cases: CodecGolden[];
  readonly bases: BasisGolden[];
};
const {tokens} = golden;
const [batch, kvHeads] = [2, 2];
// tfjs passes int32 through float32 on the others
const exact = testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl');

describe('golden values of codecs', () => {
  it('exist for every lossy codec', () => {
    const tested = new Set(['dense', ...golden.cases.map(({name}) => name)]);
    expect(shipped(codecNames()).filter(name => !tested.has(name))).to.deep.equal([]);
  });
});

describeOnBackends(
  'codecs as NumPy has them',
  () => {
    for (const codecGolden of golden.cases) {
      const {name, options, dim, seed, runs, bytes} = codecGolden;
      it(`${variantName(codecGolden)}, dim ${dim}: bit for bit`, async () => {
        const codec = makeCodec({name, options});
        const {numTensors} = tf.memory();
        const x = tokensOf(seed, dim);
        let like: Encoding | undefined = name === 'lowRank' ? goldenBasis(codecGolden) : undefined;
        const encodings: Encoding[] = like ? [like] : [];
        for (const [at, run] of runs.entries()) {
          const encoding = encodeRun(codec, x, at * tokens, tokens, like);
          await expectStored(encoding, run);
          const last = decodeEncoding(encoding, tokens - 1, 1);
          await expectClose(last, run.last, 2e-6, 'the last token');
          expect(encodingBytes(encoding)).to.equal(bytes);
          if (codecGolden.basis !== undefined) await expectTurn(encoding as LowRankEncoding, codecGolden);
          last.dispose();
          encodings.push(encoding);
          like ??= encoding;
        }
        x.dispose();
        for (const encoding of encodings) disposeEncoding(encoding);
        expect(tf.memory().numTensors, 'tensors left behind').to.equal(numTensors);
      });
    }

    for (const {options, seed, rank, squaredError, last, later} of golden.bases) {
      it(`${variantName({name: 'lowRank', options})}: the best basis of the first tokens`, async () => {
        const {keys, ...rest} = goldenText(seed, 48);
        const codec = makeCodec({name: 'lowRank', options});
        const first = encodeRun(codec, keys, 0, 40);
        const second = encodeRun(codec, keys, 40, 8, first);
        expect([(first as LowRankEncoding).rank, (second as LowRankEncoding).rank]).to.deep.equal([
          rank,
          rank,
        ]);
        const actual = tf.tidy(() => {
          const error = tf.sub(decodeEncoding(first, 0, 40), tf.slice(keys, [0, 0, 0, 0], [-1, -1, 40, -1]));
          const squares = tf.sum(tf.square(error), [2, 3]);
          return {squares, last: decodeEncoding(first, 39, 1), later: decodeEncoding(second, 7, 1)};
        });
        await expectClose(actual.squares, squaredError, 1e-4);
        await expectClose(actual.last, last, 1e-4);
        await expectClose(actual.later, later, 1e-4);
        tf.dispose([keys, rest, actual]);
        for (const encoding of [first, second]) disposeEncoding(encoding);
      });
    }
  },
  exact,
);

/** Two runs of tokens, as codecs_by_definition.py makes them. */
function tokensOf(seed: number, dim: number): tf.Tensor4D {
  const integers = smallIntegers(randomStream(seed), 120, batch * kvHeads * 2 * tokens * dim);
  const numbers = integers.map((integer, i) => (integer + ((i % dim) % 5 === 0 ? 150 : 0)) / 64);
  return tf.tensor4d(numbers, [batch, kvHeads, 2 * tokens, dim]);
}

function encodeRun(codec: Codec, x: tf.Tensor4D, from: number, count: number, like?: Encoding): Encoding {
  const run = tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
  const encoding = tf.tidy(() => codec.encode(run, like) as Encoding & tf.TensorContainerObject);
  run.dispose();
  return encoding;
}

/** An encoding whose tokens were stored by the golden basis and mean; of its own tokens nothing is asked. */
function goldenBasis({dim, basis = [], mean}: CodecGolden): LowRankEncoding {
  const rank = basis.length / dim;
  const ofHeads = Array.from({length: batch * kvHeads}, () => basis).flat();
  return {
    kind: 'lowRank',
    dim,
    rank,
    latents: {kind: 'dense', dim: rank, data: tf.zeros([batch, kvHeads, 1, rank])},
    basis: tf.tensor4d(ofHeads, [batch, kvHeads, rank, dim]),
    ...(mean && {mean: tf.tensor4d(mean, [batch, kvHeads, 1, dim])}),
  };
}

/** Codes, parameters and scales equal to the last bit. */
async function expectStored(encoding: Encoding, {codes, params, scales}: GoldenRun): Promise<void> {
  const tensors = tensorsOf(encoding.kind === 'lowRank' ? encoding.latents : encoding);
  for (const [name, numbers] of Object.entries({codes, params, scales})) {
    if (numbers === undefined) continue;
    const expected = name === 'scales' ? [...Float32Array.from(numbers)] : numbers;
    expect([...(await tensors[name]!.tensor.data())], name).to.deep.equal(expected);
  }
}

async function expectTurn(encoding: LowRankEncoding, {basis, mean}: CodecGolden): Promise<void> {
  const ofHeads = Array.from({length: batch * kvHeads}, () => basis!).flat();
  await expectClose(floatBasis(encoding.basis), ofHeads, 1e-7, 'basis');
  expect(encoding.mean === undefined).to.equal(mean === undefined);
  if (encoding.mean && mean) await expectClose(encoding.mean, mean, 0, 'mean');
}
