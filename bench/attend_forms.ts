/**
 * Decoding attention over each form against dense: `npx tsx bench/attend_forms.ts [QUERY_HEADS_PER_KEY_HEAD]`.
 *
 * One query token over 8,192 tokens of 3 key heads, dim 64. Six segments of each form take turns, so that their bytes come
 * from memory as they do in a model; the forms take turns, too, so that a busy machine is busy for all. Prints the best
 * time of 60 rounds, the ratio to dense and the size of a segment.
 */
import * as tf from '@tensorflow/tfjs';
import {attend} from '../ops/attend/index.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {encodeFloat8} from '../ops/float8/index.js';
import {formBytes, type Form, type TokenForm} from '../ops/forms.js';
import {quantize} from '../ops/integer/index.js';
import {project} from '../ops/low_rank/index.js';

const [kvHeads, tokens, dim, segments, rounds] = [3, 8192, 64, 6, 60];
const group = Number(process.argv[2] ?? 3);

type Encode = (x: tf.Tensor4D) => TokenForm;

const random = (rows: number, columns: number, heads = kvHeads): tf.Tensor4D =>
  tf.randomNormal([1, heads, rows, columns]);

const dense: Encode = x => ({kind: 'dense', dim: x.shape[3], data: tf.clone(x)});

const integer =
  (bits: 8 | 4 | 2, groupAxis: 'channel' | 'token'): Encode =>
  x =>
    quantize(x, {dim: x.shape[3], bits, groupAxis, groupSize: 32, symmetric: false});

const float8 =
  (format: 'e4m3' | 'e5m2'): Encode =>
  x =>
    encodeFloat8(x, {format});

const lowRank =
  (rank: number, encode: Encode) =>
  (x: tf.Tensor4D): Form => {
    const basis = random(rank, dim);
    return {kind: 'lowRank', dim, rank, basis, latents: encode(project(x, basis))};
  };

const sides: Record<string, readonly [(x: tf.Tensor4D) => Form, (x: tf.Tensor4D) => Form]> = {
  dense: [dense, dense],
  'int8, keys by channel': [integer(8, 'channel'), integer(8, 'token')],
  'int8 by token': [integer(8, 'token'), integer(8, 'token')],
  'int4, keys by channel': [integer(4, 'channel'), integer(4, 'token')],
  'int2, keys by channel': [integer(2, 'channel'), integer(2, 'token')],
  'float8 e4m3': [float8('e4m3'), float8('e4m3')],
  'rank 32': [lowRank(32, dense), lowRank(32, dense)],
  'rank 32 in int4': [lowRank(32, integer(4, 'channel')), lowRank(32, integer(4, 'token'))],
};

await useBackend('wasm');
const queries = random(1, dim, kvHeads * group);
const rows = Object.entries(sides).map(([name, [keys, values]]) => ({
  name,
  segments: Array.from({length: segments}, () => ({
    keys: keys(random(tokens, dim)),
    values: values(random(tokens, dim)),
  })),
  ms: Infinity,
}));
for (let round = 0; round < rounds; round++) {
  for (const row of rows) {
    for (const {keys, values} of row.segments) {
      const start = performance.now();
      attend(queries, keys, values, {tokens, scale: dim ** -0.5}).dispose();
      row.ms = Math.min(row.ms, performance.now() - start);
    }
  }
}
for (const {name, segments: all, ms} of rows) {
  const mebibytes = (formBytes(all[0]!.keys) + formBytes(all[0]!.values)) / 2 ** 20;
  const ratio = rows[0]!.ms / ms;
  console.log(
    `${name.padEnd(24)} ${ms.toFixed(2)} ms, ${ratio.toFixed(2)} times as fast as dense, ${mebibytes.toFixed(2)} MiB`,
  );
}
