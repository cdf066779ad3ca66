import {readdirSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {append} from '../../ops/append/index.js';
import {attend} from '../../ops/attention/attend/index.js';
import {attendSegments} from '../../ops/attention/attend/segments.js';
import {attentionStatistics} from '../../ops/attention/statistics/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {causalAttention} from '../../ops/attention/causal/index.js';
import {embed} from '../../ops/embed/index.js';
import {encodeFloat8} from '../../ops/float8/index.js';
import {allFinite} from '../../ops/finite/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import type {LowRankEncoding} from '../../ops/encodings/encoding.js';
import {gatherRows, gatherTokens} from '../../ops/gather_tokens/index.js';
import {hadamard} from '../../ops/hadamard/index.js';
import {quantize} from '../../ops/integer/index.js';
import {quantizeLloydMax} from '../../ops/lloyd_max/index.js';
import {eigh, lowRank, pinv, qr, randomizedSvd, svd} from '../../ops/linalg/index.js';
import {linear} from '../../ops/linear/index.js';
import {coefficients} from '../../ops/low_rank/coefficients.js';
import {project} from '../../ops/low_rank/index.js';
import {mergePartials} from '../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../ops/attention/merge_partials/log_sum.js';
import {mergeTokens} from '../../ops/refit/merge_tokens.js';
import {ridgeRegression} from '../../ops/refit/ridge_regression.js';
import {rmsNorm} from '../../ops/rms_norm/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {swiglu} from '../../ops/swiglu/index.js';
import {swigluLinear} from '../../ops/swiglu_linear/index.js';
import {lmHead} from '../../ops/lm_head/index.js';
import {unpack} from '../../ops/unpack/index.js';
import {denseEncoding} from '../support/attention_cases.js';
import {readGolden} from '../support/golden.js';
import {packedMatrix} from '../support/packed_matrix.js';

const ones = (...shape: number[]) => tf.ones<tf.Rank.R4>(shape as [number, number, number, number]);
const matrix = (rows: number, columns: number) => tf.ones<tf.Rank.R2>([rows, columns]);
const gradients = (run: (...inputs: tf.Tensor[]) => tf.Tensor, ...inputs: tf.Tensor[]) =>
  tf.grads((...args) => tf.sum(run(...args)))(inputs);
const options = {tokens: 6, scale: 0.5, firstQuery: 3};
const integers = {dim: 4, bits: 8, groupAxis: 'token', groupSize: 4, symmetric: false} as const;

/** Every folder of ops/, run through its reference with all its branches, and with its gradient if it has one. */
const runs: Record<string, () => unknown> = {
  append: () => append(ones(1, 2, 3, 4), ones(1, 2, 2, 4), 3, 4),
  attend: () => {
    const [queries, x] = [ones(1, 4, 3, 4), ones(1, 2, 600, 4)];
    attend(queries, denseEncoding(x), denseEncoding(x), {...options, tokens: 600});
    attend(queries, quantize(x, integers), encodeFloat8(x, {format: 'e4m3'}), options);
    const lowRank = {kind: 'lowRank', dim: 4, rank: 2, latents: denseEncoding(ones(1, 2, 6, 2))} as const;
    attendSegments(queries, [{keys: denseEncoding(x), values: denseEncoding(x), tokens: 6, scale: 0.5}]);
    const shared = {basis: ones(1, 2, 2, 4), mean: ones(1, 2, 1, 4)};
    const encoding: LowRankEncoding = {...lowRank, ...shared};
    attend(queries, encoding, encoding, options);
    const keyRotation = {cos: matrix(6, 2), sin: matrix(6, 2), positions: 0};
    attend(queries, {...encoding, rotate: true}, encoding, {...options, keyRotation});
    attend(queries, {...encoding, rotate: true}, encoding, {
      ...options,
      keyRotation: {...keyRotation, interleaved: true, positions: tf.zeros([1, 2, 6], 'int32')},
    });
  },
  statistics: () => {
    const [queries, keys] = [ones(1, 4, 3, 4), denseEncoding(ones(1, 2, 6, 4))];
    const logSum = partialLogSum([attend(queries, keys, keys, options)]);
    attentionStatistics(queries, keys, logSum, {...options, statistic: 'mass'});
    attentionStatistics(queries, keys, logSum, {...options, statistic: 'uses', threshold: 0.1});
    attentionStatistics(queries, keys, logSum, {...options, statistic: 'lastUse', threshold: 0.1});
  },
  batched_matmul: () => {
    batchedMatMul(ones(1, 2, 3, 4), ones(1, 2, 4, 3));
    batchedMatMul(ones(1, 2, 4, 3), ones(1, 2, 3, 4), {transposeA: true, transposeB: true});
  },
  causal: () =>
    gradients(
      (q, k, v) => causalAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, {scale: 0.5}),
      ones(1, 4, 3, 4),
      ones(1, 2, 3, 4),
      ones(1, 2, 3, 4),
    ),
  embed: () => gradients(table => embed(tf.zeros([1, 3], 'int32'), table as tf.Tensor2D), matrix(5, 4)),
  finite: () => allFinite(ones(1, 2, 3, 4)),
  float8: () => decodeEncoding(encodeFloat8(ones(1, 2, 3, 4), {format: 'e5m2'}), 0, 3),
  gather_tiled: () => gatherTokens(quantizeLloydMax(ones(1, 2, 16, 8), [[3], [8]]), new Int32Array(32)),
  gather_tokens: () => gatherRows(ones(1, 2, 3, 4), tf.zeros([1, 2, 2], 'int32')),
  refit: () => {
    const [keys, mass] = [ones(1, 2, 3, 4), ones(1, 2, 3, 1)];
    mergeTokens({keys, values: keys, mass, bias: mass, open: mass}, [() => ({keys, values: keys, mass})]);
    ridgeRegression([() => keys], keys);
  },
  hadamard: () => gradients(hadamard, ones(1, 2, 3, 4)),
  integer: () => decodeEncoding(quantize(ones(1, 2, 3, 4), integers), 0, 3),
  linalg: () => {
    const parts = (of: Record<string, tf.Tensor>) => tf.addN(Object.values(of).map(part => tf.sum(part)));
    for (const run of [eigh, svd, qr]) gradients(x => parts(run(x)), ones(1, 2, 3, 3));
    gradients(x => pinv(x), ones(1, 2, 3, 4));
    gradients(x => parts(qr(x)), ones(1, 2, 3, 4));
    gradients(x => parts(lowRank(x, {rank: 2})), ones(1, 2, 3, 4));
    randomizedSvd(ones(1, 2, 3, 4), {rank: 1});
  },
  linear: () =>
    gradients((x, kernel, bias) => linear(x, kernel, {bias}), ones(1, 2, 3, 4), matrix(4, 5), tf.ones([5])),
  low_rank: () => {
    project(ones(1, 4, 3, 4), ones(1, 2, 2, 4));
    coefficients(ones(1, 1, 3, 4), tf.reshape(tf.eye(4), [1, 1, 4, 4]));
  },
  merge_partials: () => {
    mergePartials([ones(1, 2, 3, 6), ones(1, 2, 3, 6)]);
    partialLogSum([ones(1, 2, 3, 6), ones(1, 2, 3, 6)]);
  },
  rms_norm: () => gradients((x, gain) => rmsNorm(x, gain, 1e-5), ones(1, 2, 3, 4), tf.ones([4])),
  rotate: () => {
    for (const interleaved of [false, true]) {
      const rotation = {cos: matrix(3, 2), sin: matrix(3, 2), interleaved};
      gradients(x => rotate(x as tf.Tensor4D, rotation), ones(1, 2, 3, 5));
    }
  },
  swiglu: () => gradients((gate, up) => swiglu(gate, up), ones(1, 2, 3, 4), ones(1, 2, 3, 4)),
  swiglu_linear: () => {
    swigluLinear(ones(1, 2, 3, 4), matrix(4, 5), matrix(4, 5));
    gradients((x, gate, up) => swigluLinear(x, gate, up), ones(1, 2, 3, 4), matrix(4, 5), matrix(4, 5));
  },
  unpack: () => unpack(packedMatrix('packed4', 33, 9, 1).matrix),
  lloyd_max: () => decodeEncoding(quantizeLloydMax(ones(1, 2, 16, 8), [[3], [8]]), 0, 16),
  lm_head: () => gradients((x, table) => lmHead(x, table as tf.Tensor2D), matrix(3, 4), matrix(5, 4)),
};

const {webgpu, tensorflow} = readGolden('ops/tfjs_kernels.json') as {webgpu: string[]; tensorflow: string[]};

/** What tfjs calls the passes of a customGrad in a profile; the last one inside of a tidy. */
const passes = ['forward', 'backward', 'unnamed scope'];

describe('references', () => {
  let former: string | undefined;
  before(async () => {
    former = tf.getBackend();
    await useBackend('wasm'); // registers wasm's kernels
    await useBackend('cpu'); // where no op has a kernel of its own
  });
  after(() => tf.setBackend(former ?? 'cpu'));

  it('are here for every folder of ops/', () => {
    const folders = ['../../ops', '../../ops/attention']
      .flatMap(path => readdirSync(new URL(path, import.meta.url), {withFileTypes: true}))
      .filter(
        entry =>
          entry.isDirectory() &&
          !['assembly', 'backends', 'attention', 'encodings', 'threads', 'weights'].includes(entry.name),
      )
      .map(({name}) => name);
    expect(Object.keys(runs).sort()).to.deep.equal(folders.sort());
  });

  const registered = (backend: string) => tf.getKernelsForBackend(backend).map(({kernelName}) => kernelName);
  for (const [name, run] of Object.entries(runs)) {
    it(`of ${name} use only kernels that every backend has`, async () => {
      const {kernelNames} = await tf.profile(() => {
        tf.tidy(() => void run());
        return tf.scalar(0);
      });
      const everywhere = {wasm: registered('wasm'), webgl: registered('webgl'), webgpu, tensorflow};
      for (const [backend, kernels] of Object.entries(everywhere)) {
        const missing = kernelNames.filter(kernel => !kernels.includes(kernel) && !passes.includes(kernel));
        expect(missing, `missing on ${backend}`).to.be.empty;
      }
    });
  }
});
