import * as tf from '@tensorflow/tfjs';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {headsOf} from '../../ops/encodings/encoding.js';
import {ridgeRegression} from '../../ops/refit/ridge_regression.js';
import type {Context, Keeper} from '../contract.js';
import {LastingTensors, askedQueries} from './asked_queries.js';
import {tilesOf} from './candidates.js';
import {type Past, withSegments} from './past.js';
import {leastSquaresQueries} from './query_window.js';
import {dense, positionsOf} from './segments.js';

/**
 * Returns a past after an eviction with other values of the tokens that it kept: those for which the newest queries get, by least squares, the
 * outputs that they had before. The second half of Attention Matching (arXiv 2602.16284). No channel leaves the range that it has among the kept
 * values, so that outputs stay among values whatever later queries attend to. Inside the caller's tidy.
 *
 * @param names the segments whose values change; exact ones.
 * @param sinks tokens of the text at positions below this stay as they are.
 */
export function withFittedValues(
  past: Past,
  before: Past,
  names: readonly string[],
  sinks: number,
  {name: keeper}: Keeper,
  context: Context,
): Past {
  const left = names.filter(name => past.held[name] !== undefined); // of some, nothing was kept
  if (left.length === 0) return past;
  const lasting = new LastingTensors();
  try {
    const ofNewest = (of: Past) => askedQueries(keeper, leastSquaresQueries, [], of, context, lasting);
    const asked = ofNewest(past);
    const lost = tf.sub<tf.Tensor4D>(ofNewest(before)().outputs(), asked().outputs());
    const [batch, heads, queries] = lost.shape;
    const segments = left.map(name => past.held[name]!);
    const {kvHeads} = headsOf(segments[0]!.keys);
    const byKeyHead = (x: tf.Tensor4D): tf.Tensor4D =>
      tf.reshape(x, [batch, kvHeads, (heads / kvHeads) * queries, x.shape[3]]);
    const runs = segments.flatMap(segment => {
      const tiles = () => tilesOf(segment, asked, past, context);
      return tiles().map(({from, count}, index) => () => {
        const p = byKeyHead(tiles()[index]!.attention());
        if (sinks === 0) return p;
        const positions = tf.slice(positionsOf(segment), [0, 0, from, 0], [-1, -1, count, -1]);
        const isSink = tf.reshape(tf.less(positions, sinks), [batch, kvHeads, 1, count]);
        return tf.where<tf.Tensor4D>(isSink, tf.zerosLike(p), p);
      });
    });
    const changes = tf.concat(ridgeRegression(runs, byKeyHead(lost)), 2);
    const ofSegments = tf.split<tf.Tensor4D>(
      changes,
      segments.map(({tokens}) => tokens),
      2,
    );
    return withSegments(
      past,
      Object.fromEntries(
        segments.map((segment, index) => {
          const values = decodeEncoding(segment.values, 0, segment.tokens);
          return [left[index]!, {...segment, values: dense(within(values, ofSegments[index]!))}];
        }),
      ),
    );
  } finally {
    lasting.dispose();
  }
}

/** Changed values, in the range of each channel of a head. */
function within(values: tf.Tensor4D, changes: tf.Tensor4D): tf.Tensor4D {
  const [least, most]: tf.Tensor4D[] = [tf.min(values, 2, true), tf.max(values, 2, true)];
  const changed: tf.Tensor4D = tf.add(values, changes);
  return tf.minimum(tf.maximum(changed, least!), most!);
}
