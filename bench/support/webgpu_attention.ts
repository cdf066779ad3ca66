import * as tf from '@tensorflow/tfjs';
import {attend} from '../../ops/attention/attend/index.js';
import {encodeFloat8} from '../../ops/float8/index.js';
import {encodingBytes, type Encoding, type TokenEncoding} from '../../ops/encodings/encoding.js';
import type {Width} from '../../ops/encodings/lloyd_max_levels.js';
import {quantize} from '../../ops/integer/index.js';
import {quantizeLloydMax} from '../../ops/lloyd_max/index.js';
import {project} from '../../ops/low_rank/index.js';
import {asTfjsWebgpuBackend} from '../../ops/backends/webgpu_device.js';
import {median} from '../../base/statistics.js';

// What `bench:webgpu` times, in Node and in pages.

/** Rounds and runs of a round: see `time`. */
const [rounds, queue] = [5, 10];
export const longestPrefill = 4096;

export interface Heads {
  readonly name: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly dim: number;
}

export const shapes: readonly Heads[] = [
  {name: 'SmolLM2', heads: 9, kvHeads: 3, dim: 64},
  {name: 'Llama-7B', heads: 32, kvHeads: 32, dim: 128},
];

/** One measurement; the keys are those of every benchmark of this package. */
export interface AttentionRow {
  readonly op: 'prefill' | 'decode';
  readonly backend: 'webgpu';
  readonly codec: string;
  readonly shape: string;
  readonly tokens: number;
  readonly ms: number;
  /** Undefined if the score matrix of tfjs is larger than the largest binding of the GPU. */
  readonly timesPlainTfjs: number | null;
  readonly timesDense: number;
  /** Stored bytes read, each once, a second. */
  readonly gigabytesPerSecond: number;
  /** The same, of what a copy moves a second, reading and writing. */
  readonly ofCopy: number;
  /** Multiplications and additions of the two products, causal ones halved, a second. */
  readonly teraflops: number;
}

type Encode = (x: tf.Tensor4D, side: 'keys' | 'values') => Encoding;

const dense = (x: tf.Tensor4D): TokenEncoding => ({kind: 'dense', dim: x.shape[3], data: tf.clone(x)});

const integer =
  (bits: 8 | 4 | 2): Encode =>
  (x, side) =>
    quantize(x, {
      ...{dim: x.shape[3], bits, groupSize: 32, symmetric: false},
      groupAxis: side === 'keys' ? 'channel' : 'token',
    });

/** A quarter of the dim; keys that need no rotation. */
const lowRank: Encode = x => {
  const [batch, kvHeads, , dim] = x.shape;
  const rank = dim / 4;
  const basis = tf.randomNormal<tf.Rank.R4>([batch, kvHeads, rank, dim]);
  return {kind: 'lowRank', dim, rank, basis, latents: dense(project(x, basis))};
};

/** The same, rebuilt and rotated tile by tile. */
const lowRankRotated: Encode = (x, side) => {
  const encoding = lowRank(x, side);
  return side === 'keys' && encoding.kind === 'lowRank' ? {...encoding, rotate: true} : encoding;
};

/** The codes of `transform` at 2.25 bits: a rotation of each head, and levels of channels that fall in bits. */
const transformed: Encode = (x, side) => {
  const [batch, kvHeads, , dim] = x.shape;
  const basis = tf.randomNormal<tf.Rank.R4>([batch, kvHeads, dim, dim], 0, dim ** -0.5);
  const widths: Width[] = Array.from({length: dim / 8}, (_, group) => fallingBits[group % 8]!);
  const latents = quantizeLloydMax(
    project(x, basis),
    Array.from({length: kvHeads}, () => widths),
  );
  return {kind: 'lowRank', dim, rank: dim, basis, latents, ...(side === 'keys' && {rotate: true})};
};

const fallingBits: readonly Width[] = [4, 4, 3, 3, 2, 1, 1, 0];

const codecs: Readonly<Record<string, Encode>> = {
  dense,
  int8: integer(8),
  int4: integer(4),
  int2: integer(2),
  float8: x => encodeFloat8(x, {format: 'e4m3'}),
  lowRank,
  lowRankRotated,
  transform: transformed,
};

/** Plain tfjs ops over dense keys and values; the heads of a group are rows of one matrix. */
function plainAttention(queries: tf.Tensor4D, keys: tf.Tensor4D, values: tf.Tensor4D): tf.Tensor {
  const [batch, heads, queryTokens, dim] = queries.shape;
  const kvHeads = keys.shape[1];
  const rows = tf.reshape(queries, [batch, kvHeads, (heads / kvHeads) * queryTokens, dim]);
  const scores = tf.mul(tf.matMul(rows, keys, false, true), dim ** -0.5);
  return tf.matMul(tf.softmax(scores), values); // without a causal mask, which would only make it slower
}

/** GB/s that a copy from buffer to buffer moves, reading and writing: what attention over long pasts can come near to. */
export async function measureCopy(): Promise<number> {
  const {device} = asTfjsWebgpuBackend(tf.backend())!;
  const size = Math.min(2 ** 28, device.limits.maxBufferSize);
  const [usage, times] = [GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST, 8];
  const [from, to] = [device.createBuffer({size, usage}), device.createBuffer({size, usage})];
  const rates: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < times; i++) encoder.copyBufferToBuffer(from, 0, to, 0, size);
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    if (round > 0) rates.push((2 * size * times) / (performance.now() - start) / 1e6); // the first touches the memory
  }
  from.destroy();
  to.destroy();
  return median(rates);
}

/** Milliseconds of one run. */
async function time(run: () => tf.Tensor): Promise<number> {
  const start = performance.now();
  for (let i = 1; i < queue; i++) tf.dispose(tf.tidy(run));
  const last = tf.tidy(() => tf.slice(tf.reshape(run(), [-1]), [0], [1]));
  await last.data();
  last.dispose();
  return (performance.now() - start) / queue;
}

/** @param copyRate of `measureCopy`, in GB/s. */
export async function measureAttention(
  op: AttentionRow['op'],
  heads: Heads,
  tokens: number,
  copyRate: number,
): Promise<AttentionRow[]> {
  const {kvHeads, dim} = heads;
  const seen = op === 'decode' ? tokens : (tokens * (tokens + 1)) / 2;
  const queryTokens = op === 'decode' ? 1 : tokens;
  const queries = tf.randomNormal<tf.Rank.R4>([1, heads.heads, queryTokens, dim]);
  const side = () => tf.randomNormal<tf.Rank.R4>([1, kvHeads, tokens, dim]);
  const [keys, values] = [side(), side()];
  const tables = {
    cos: tf.randomNormal<tf.Rank.R2>([tokens, dim / 2]),
    sin: tf.randomNormal<tf.Rank.R2>([tokens, dim / 2]),
  };
  const options = {
    ...{tokens, scale: dim ** -0.5, keyRotation: {...tables, positions: 0}},
    ...(op === 'prefill' && {firstQuery: 0}),
  };
  const runs = Object.entries(codecs).map(([codec, encode]) => {
    const [storedKeys, storedValues] = [encode(keys, 'keys'), encode(values, 'values')];
    return {
      codec,
      bytes: encodingBytes(storedKeys) + encodingBytes(storedValues),
      run: (): tf.Tensor => attend(queries, storedKeys, storedValues, options),
      times: [] as number[],
    };
  });
  const plain = {run: () => plainAttention(queries, keys, values), times: [] as number[]};
  const {limits} = asTfjsWebgpuBackend(tf.backend())!.device;
  const plainFits = 4 * heads.heads * queryTokens * tokens <= limits.maxStorageBufferBindingSize;
  const timed = plainFits ? [...runs, plain] : runs;
  for (const {run} of timed) await time(run); // compiles
  for (let round = 0; round < rounds; round++) {
    for (const {run, times} of timed) times.push(await time(run));
  }
  const plainMs = plainFits ? median(plain.times) : null;
  const denseMs = median(runs[0]!.times);
  return runs.map(({codec, bytes, times}) => {
    const ms = median(times);
    return {
      ...{op, backend: 'webgpu', codec, shape: heads.name, tokens, ms},
      ...{
        timesPlainTfjs: plainMs === null ? null : plainMs / ms,
        timesDense: denseMs / ms,
        gigabytesPerSecond: bytes / ms / 1e6,
        ofCopy: bytes / ms / 1e6 / copyRate,
        teraflops: (4 * heads.heads * dim * seen) / ms / 1e9,
      },
    };
  });
}
