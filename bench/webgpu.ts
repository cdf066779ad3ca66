/**
 * Attention on a GPU, in every stored encoding: `npm run bench:webgpu [-- TOKENS,TOKENS,... [FILE.json]]`.
 *
 * Decoding (one query token of each head) and prefill (causal, up to 4,096 tokens) over 1k to 32k tokens, in the shapes of
 * SmolLM2 (9 query heads on 3 key heads of 64) and of Llama-7B (32 heads of 128). The baseline is tfjs' own webgpu ops on
 * dense keys and values: two products and a softmax. Each time is that of a queue of runs, waited for once, divided by
 * their number; the median of five such queues, in which the codecs take turns. Needs npm's `webgpu` in Node:
 * docs/backends/webgpu.md.
 */
import {writeFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import {attend} from '../ops/attention/attend/index.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {EigenkvError} from '../base/errors.js';
import {encodeFloat8} from '../ops/float8/index.js';
import {encodingBytes, type Encoding, type TokenEncoding} from '../ops/encodings/encoding.js';
import {quantize} from '../ops/integer/index.js';
import {project} from '../ops/low_rank/index.js';
import {asTfjsWebgpuBackend} from '../ops/backends/webgpu_device.js';
import {median} from '../base/statistics.js';

const [rounds, queue] = [5, 10];
const longestPrefill = 4096;

interface Heads {
  readonly name: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly dim: number;
}

const shapes: readonly Heads[] = [
  {name: 'SmolLM2', heads: 9, kvHeads: 3, dim: 64},
  {name: 'Llama-7B', heads: 32, kvHeads: 32, dim: 128},
];

/** One measurement; the keys are those of every benchmark of this package. */
interface Row {
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
}

type Encode = (x: tf.Tensor4D, side: 'keys' | 'values') => Encoding;

const dense = (x: tf.Tensor4D): TokenEncoding => ({kind: 'dense', dim: x.shape[3], data: tf.clone(x)});

const integer =
  (bits: 8 | 4): Encode =>
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

const codecs: Readonly<Record<string, Encode>> = {
  dense,
  int8: integer(8),
  int4: integer(4),
  float8: x => encodeFloat8(x, {format: 'e4m3'}),
  lowRank,
  lowRankRotated,
};

/** Plain tfjs ops over dense keys and values; the heads of a group are rows of one matrix. */
function plainAttention(queries: tf.Tensor4D, keys: tf.Tensor4D, values: tf.Tensor4D): tf.Tensor {
  const [batch, heads, queryTokens, dim] = queries.shape;
  const kvHeads = keys.shape[1];
  const rows = tf.reshape(queries, [batch, kvHeads, (heads / kvHeads) * queryTokens, dim]);
  const scores = tf.mul(tf.matMul(rows, keys, false, true), dim ** -0.5);
  return tf.matMul(tf.softmax(scores), values); // without a causal mask, which would only make it slower
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

async function measure(op: Row['op'], heads: Heads, tokens: number): Promise<Row[]> {
  const {kvHeads, dim} = heads;
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
      },
    };
  });
}

/** One line, the ratios first. */
function print({op, shape, tokens, codec, ms, timesDense, timesPlainTfjs, gigabytesPerSecond}: Row): void {
  console.log(
    `${op.padEnd(8)} ${shape.padEnd(9)} ${String(tokens).padStart(6)} ${codec.padEnd(15)} ` +
      `${timesDense.toFixed(2).padStart(6)} x dense ${(timesPlainTfjs?.toFixed(2) ?? '-').padStart(6)} x plain tfjs ` +
      `${ms.toFixed(3).padStart(10)} ms ${gigabytesPerSecond.toFixed(1).padStart(7)} GB/s`,
  );
}

const lengths = (process.argv[2] ?? '1024,4096,8192,32768').split(',').map(Number);
await useBackend('webgpu');
const rows: Row[] = [];
for (const op of ['decode', 'prefill'] as const) {
  for (const shape of shapes) {
    for (const tokens of lengths.filter(length => op === 'decode' || length <= longestPrefill)) {
      tf.engine().startScope();
      try {
        const measured = await measure(op, shape, tokens);
        measured.forEach(print);
        rows.push(...measured);
      } catch (error) {
        if (!(error instanceof EigenkvError)) throw error;
        console.log(`${op} ${shape.name} ${tokens} tokens left out: ${error.message}`);
      }
      tf.engine().endScope();
    }
  }
}
const file = process.argv[3];
if (file !== undefined) writeFileSync(file, `${JSON.stringify(rows, null, 2)}\n`);
