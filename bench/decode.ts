import * as tf from '@tensorflow/tfjs';
import type {KeyRotation} from '../ops/attention/attend/index.js';
import {attendSegments} from '../ops/attention/attend/segments.js';
import {encodingBytes, tensorsOf, type Encoding} from '../ops/encodings/encoding.js';
import {rotationFor} from '../ops/rotate/rope.js';
import {benchCodecs} from './support/codecs.js';
import {measure} from './support/measure.js';
import {memoryReader} from './support/read_bandwidth.js';
import type {Row} from './support/row.js';

/** Attention layers of a model, all of them in memory so that caches exceed the processor's. */
export interface ModelShape {
  readonly name: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly dim: number;
  readonly depths: number;
}

export const modelShapes: readonly ModelShape[] = [
  {name: 'SmolLM2', heads: 9, kvHeads: 3, dim: 64, depths: 30},
  {name: 'Llama-7B', heads: 32, kvHeads: 32, dim: 128, depths: 1},
];

/** One query token over a past of `tokens`, a depth of each codec after the other; times are those of one depth. */
export async function decodeRows(shape: ModelShape, tokens: number, rounds: number): Promise<Row[]> {
  const random = new Map<number, tf.Tensor4D>();
  const tokensOfDim = (dim = shape.dim): tf.Tensor4D => {
    const x = random.get(dim) ?? tf.randomNormal<tf.Rank.R4>([1, shape.kvHeads, tokens, dim]);
    random.set(dim, x);
    return x;
  };
  const queries = tf.randomNormal<tf.Rank.R4>([1, shape.heads, 1, shape.dim]);
  const rotation = rotationOf(shape, tokens);
  const scale = shape.dim ** -0.5;
  const held = Object.entries(benchCodecs).map(([codec, {keys, values, rotated}]) => ({
    codec,
    segments: Array.from({length: shape.depths}, () => ({
      keys: keys(tokensOfDim),
      values: values(tokensOfDim),
    })),
    options: {tokens, scale, ...(rotated === true && {keyRotation: rotation})},
  }));
  const bytesOf = ({keys, values}: {keys: Encoding; values: Encoding}) =>
    encodingBytes(keys) + encodingBytes(values);
  const denseBytes = bytesOf(held[0]!.segments[0]!);
  const tasks: {[name: string]: () => void} = {};
  for (const {codec, segments, options} of held) {
    tasks[codec] = inTurn(segments, ({keys, values}) => {
      tf.tidy(() => void attendSegments(queries, [{keys, values, ...options}]));
    });
  }
  const dense = held[0]!.segments.map(({keys, values}) => ({
    keys: tensorsOf(keys)['data']!.tensor,
    values: tensorsOf(values)['data']!.tensor,
  }));
  tasks['plain tfjs, batched'] = inTurn(dense, ({keys, values}) => {
    tf.tidy(() => void batchedAttention(queries, keys, values, scale));
  });
  tasks['plain tfjs, per head'] = inTurn(dense, ({keys, values}) => {
    tf.tidy(() => void attentionPerHead(queries, keys, values, scale));
  });
  const read = await memoryReader(denseBytes * Math.min(shape.depths, 16));
  tasks['read'] = read;

  const ms = await measure(tasks, rounds, 5);
  const readBytes = denseBytes * Math.min(shape.depths, 16);
  const readSpeed = readBytes / ms['read']! / 1e6;
  const plain = Math.min(ms['plain tfjs, batched']!, ms['plain tfjs, per head']!);
  const common = {backend: tf.getBackend(), shape: shape.name, tokens} as const;
  const rows: Row[] = held.map(({codec, segments}) => {
    const gigabytesPerSecond = bytesOf(segments[0]!) / ms[codec]! / 1e6;
    return {
      ...{op: 'decode', ...common, codec, ms: ms[codec]!},
      timesDense: ms['dense']! / ms[codec]!,
      timesPlainTfjs: plain / ms[codec]!,
      gigabytesPerSecond,
      partOfReadBandwidth: gigabytesPerSecond / readSpeed,
    };
  });
  for (const codec of ['plain tfjs, batched', 'plain tfjs, per head']) {
    rows.push({op: 'decode', ...common, codec, ms: ms[codec]!, timesDense: ms['dense']! / ms[codec]!});
  }
  rows.push({
    ...{op: 'read', ...common, codec: 'vector loads', ms: ms['read']!},
    gigabytesPerSecond: readSpeed,
  });
  for (const {segments} of held) segments.forEach(disposeSegment);
  tf.dispose([queries, rotation.cos, rotation.sin, ...random.values()]);
  return rows;
}

/** A task that takes the next of the segments each time. */
function inTurn<Segment>(segments: readonly Segment[], run: (segment: Segment) => void): () => void {
  let next = 0;
  return () => {
    run(segments[next]!);
    next = (next + 1) % segments.length;
  };
}

function disposeSegment({keys, values}: {keys: Encoding; values: Encoding}): void {
  for (const encoding of [keys, values]) {
    for (const {tensor} of Object.values(tensorsOf(encoding))) tensor.dispose();
  }
}

function rotationOf({dim}: ModelShape, tokens: number): KeyRotation {
  return {...rotationFor({}, dim, 0, tokens), positions: 0};
}

/** As one writes it: the heads of a group as rows of one matrix, batched over key heads. */
export function batchedAttention(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D, scale: number): tf.Tensor {
  const [, heads, tokens, dim] = q.shape;
  const kvHeads = k.shape[1];
  const rows = tf.reshape(q, [1, kvHeads, (heads / kvHeads) * tokens, dim]);
  const p = tf.softmax(tf.mul(tf.matMul(rows, k, false, true), scale));
  return tf.reshape(tf.matMul(p, v), [1, heads, tokens, v.shape[3]]);
}

/** The best encoding for tfjs' wasm backend: matrices of rank 2, a key head at a time. */
function attentionPerHead(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D, scale: number): tf.Tensor {
  const [, heads, tokens, dim] = q.shape;
  const [, kvHeads, past] = k.shape;
  const group = heads / kvHeads;
  const outputs = Array.from({length: kvHeads}, (_, head) => {
    const rows = tf.reshape(tf.slice(q, [0, head * group, 0, 0], [1, group, tokens, dim]), [
      group * tokens,
      dim,
    ]);
    const of = (x: tf.Tensor4D): tf.Tensor2D =>
      tf.reshape(tf.slice(x, [0, head, 0, 0], [1, 1, past, x.shape[3]]), [past, x.shape[3]]);
    const p = tf.softmax(tf.mul(tf.matMul(rows, of(k), false, true), scale));
    return tf.matMul(p, of(v));
  });
  return tf.reshape(tf.concat(outputs), [1, heads, tokens, v.shape[3]]);
}
