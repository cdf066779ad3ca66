import * as tf from '@tensorflow/tfjs';
import {type RelativeBias, biasesOfQueries} from '../relative_bias.js';
import type {Visibility} from './visibility.js';

// Windows over tokens with positions of their own and biases by distance say something else of a token to each query, and no kernel knows them. Of
// a single query both are biases of the tokens, which all kernels know: so queries are attended one by one.

/** What may differ from query to query. */
interface Masked extends Visibility {
  readonly tokens: number;
  readonly bias?: tf.Tensor4D | undefined;
  readonly relative?: RelativeBias | undefined;
}

/** Whether kernels know how several queries look at a segment. */
export const hasKernels = ({window, relative}: Pick<Masked, 'window' | 'relative'>): boolean =>
  relative === undefined && (window === undefined || typeof window.positions === 'number');

/** Joins what is computed of each query `[batch, heads, 1, ...]` by itself. Inside the caller's tidy. */
export function oneByOne(
  queries: tf.Tensor4D,
  compute: (query: tf.Tensor4D, index: number) => tf.Tensor4D,
): tf.Tensor4D {
  const [, , tokens] = queries.shape;
  if (tokens === 1) return compute(queries, 0);
  return tf.concat(
    Array.from({length: tokens}, (_, index) => tf.tidy(() => compute(queryAt(queries, index), index))),
    2,
  );
}

/** One of several rows `[batch, heads, rows, ...]`. */
export const queryAt = (queries: tf.Tensor4D, index: number): tf.Tensor4D =>
  tf.slice(queries, [0, 0, index, 0], [-1, -1, 1, -1]);

/** Returns the options of each query by itself, which kernels know. Inside the caller's tidy. */
export function optionsOfQueries<Options extends Masked>(
  options: Options,
  [batch, , queryTokens]: tf.Tensor4D['shape'],
): (query: number) => Options {
  const {relative, firstQuery, window, bias, tokens} = options;
  const given = bias && firstOf(bias, tokens);
  const ofDistances = relative && biasesOfQueries(relative, queryTokens, tokens);
  return query => {
    const biases = [...(given ? [given] : []), ...(ofDistances ? [ofDistances(query)] : [])];
    return withHiding({
      ...options,
      ...(firstQuery !== undefined && {firstQuery: firstQuery + query}),
      ...(window && {window: {...window, firstQuery: window.firstQuery + query}}),
      relative: undefined,
      bias: sumOf(biases, batch),
    });
  };
}

/** The sum of up to two biases, for each text of the batch. */
function sumOf([first, second]: readonly tf.Tensor4D[], batch: number): tf.Tensor4D | undefined {
  if (first === undefined) return undefined;
  if (second !== undefined) return tf.add<tf.Tensor4D>(first, second);
  return first.shape[0] === batch ? first : tf.mul<tf.Tensor4D>(first, tf.ones([batch, 1, 1, 1])); // tf.tile of wasm takes ten milliseconds
}

/** A bias hides what a window leaves out of tokens with positions of their own. */
function withHiding<Options extends Masked>(options: Options): Options {
  const {window, bias, tokens} = options;
  if (window === undefined || typeof window.positions === 'number') return options;
  const isSeen = tf.greaterEqual(firstOf(window.positions, tokens), window.firstQuery - window.size + 1);
  const hiding = tf.where(isSeen, bias ?? tf.scalar(0), tf.scalar(hiddenScore)) as tf.Tensor4D;
  return {...options, window: undefined, bias: hiding};
}

const firstOf = (x: tf.Tensor4D, tokens: number): tf.Tensor4D =>
  x.shape[2] === tokens ? x : tf.slice(x, [0, 0, 0, 0], [-1, -1, tokens, -1]);

/** Lower than all scores, and finite: shaders may be compiled as if there were no infinities. */
const hiddenScore = -3e38;
