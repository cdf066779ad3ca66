import * as tf from '@tensorflow/tfjs';
import {causalAttention} from '../ops/attention/causal/index.js';
import {measure} from './support/measure.js';
import type {Row} from './support/row.js';

/** Causal attention of a prompt over itself, [1, heads, tokens, dim], forward, and with its gradient. */
export async function prefillRows(
  shape: {readonly name: string; readonly heads: number; readonly kvHeads: number; readonly dim: number},
  tokens: number,
  rounds: number,
): Promise<Row[]> {
  const {name, heads, kvHeads, dim} = shape;
  const q = tf.randomNormal<tf.Rank.R4>([1, heads, tokens, dim]);
  const k = tf.randomNormal<tf.Rank.R4>([1, kvHeads, tokens, dim]);
  const v = tf.randomNormal<tf.Rank.R4>([1, kvHeads, tokens, dim]);
  const scale = dim ** -0.5;
  const withGradient = tf.grads((...args) => {
    const [a, b, c] = args as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    return tf.sum(causalAttention(a, b, c, {scale}));
  });
  const tasks: {[name: string]: () => void} = {
    dense: () => {
      tf.tidy(() => void causalAttention(q, k, v, {scale}));
    },
    'dense, forward and backward': () => {
      tf.tidy(() => void withGradient([q, k, v]));
    },
  };
  // a matrix of tokens x tokens for every head: not beyond a gigabyte
  const plain = 'plain tfjs, batched';
  if (heads * tokens ** 2 * 4 <= 2 ** 30) {
    tasks[plain] = () => {
      tf.tidy(() => void plainCausalAttention(q, k, v, scale));
    };
  }
  const ms = await measure(tasks, rounds, 1);
  tf.dispose([q, k, v]);
  const common = {backend: tf.getBackend(), shape: name, tokens} as const;
  // two products of 2 dim operations for each pair of a query and a token that it sees; seven with the gradient
  const pairs = (heads * tokens * (tokens + 1)) / 2;
  const gigaflops = (products: number, task: string) => (products * 2 * dim * pairs) / ms[task]! / 1e6;
  const plainMs = ms[plain];
  return [
    {
      ...{op: 'prefill', ...common, codec: 'dense', ms: ms['dense']!, gigaflops: gigaflops(2, 'dense')},
      ...(plainMs !== undefined && {timesPlainTfjs: plainMs / ms['dense']!}),
    },
    {
      ...{op: 'backward', ...common, codec: 'dense', ms: ms['dense, forward and backward']!},
      gigaflops: gigaflops(7, 'dense, forward and backward'),
    },
    ...(plainMs === undefined
      ? []
      : [{op: 'prefill', ...common, codec: plain, ms: plainMs, timesDense: ms['dense']! / plainMs} as const]),
  ];
}

function plainCausalAttention(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D, scale: number): tf.Tensor {
  const [, heads, tokens, dim] = q.shape;
  const kvHeads = k.shape[1];
  const group = heads / kvHeads;
  const rows = tf.reshape(q, [1, kvHeads, group * tokens, dim]);
  const position = tf.range(0, tokens);
  const hidden = tf.greater(tf.reshape(position, [1, tokens]), tf.reshape(position, [tokens, 1]));
  const mask = tf.tile(tf.mul(tf.cast(hidden, 'float32'), -1e30), [group, 1]);
  const p = tf.softmax(tf.add(tf.mul(tf.matMul(rows, k, false, true), scale), mask));
  return tf.matMul(p, v);
}
