import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {append} from '../../ops/append/index.js';
import {type Encoding, bareTensors, mapTensors} from '../../ops/encodings/encoding.js';
import {gatherRows} from '../../ops/gather_tokens/index.js';
import {type WeighedTokens, mergeTokens} from '../../ops/refit/merge_tokens.js';
import type {Context, PairCodec, Policy} from '../contract.js';
import {decodedTiles} from './candidates.js';
import type {Weighed} from './choose.js';
import type {Past, Segment} from './past.js';
import {refitQueries, refits, refitsByQueries} from './query_window.js';
import {dense, positionsOf} from './segments.js';

// Tokens that stay take over what is evicted: see `mergeTokens`.

/**
 * Returns the kept tokens of a segment after they took over the evicted ones. Values that change are encoded once more; codes of all others stay
 * as they are.
 *
 * @param sinks tokens of the text at positions below this take over none: much attention goes to them, whatever they say.
 */
export function refitted(
  kept: Weighed,
  evicted: Weighed,
  sinks: number,
  {store}: Policy,
  past: Past,
  context: Context,
): Segment {
  const {segment} = kept;
  const positions = positionsOf(segment);
  const [whole] = weighedRuns(kept, past, context, segment.tokens);
  const {values, bias, changed} = mergeTokens(
    {
      ...whole!(),
      bias: segment.bias ?? tf.zerosLike<tf.Tensor4D>(positions),
      open: tf.where(tf.less(positions, sinks), tf.zerosLike(positions), tf.onesLike(positions)),
    },
    weighedRuns(evicted, past, context),
  );
  return {...segment, values: withChanged(segment.values, values, changed, store), bias};
}

/** The tokens of a segment, decoded: one run for each tile, or all of them as one. */
function weighedRuns(
  {segment, mass}: Weighed,
  past: Past,
  context: Context,
  most?: number,
): (() => WeighedTokens)[] {
  return decodedTiles(segment, past, context, most).map(({keys, values, from, count}) => () => ({
    keys: keys(),
    values: values(),
    mass: tf.slice(mass, [0, 0, from, 0], [-1, -1, count, -1]),
  }));
}

/** An encoding with other values of the changed tokens. */
function withChanged(
  encoding: Encoding,
  values: tf.Tensor4D,
  changed: tf.Tensor4D,
  store: PairCodec,
): Encoding {
  if (encoding.kind === 'dense') return dense(values);
  if (store.encodeValues === undefined) throw cannotEncode(store.name);
  const anew = bareTensors(store.encodeValues(values, encoding));
  const [batch, kvHeads, tokens] = values.shape;
  const shifts = tf.where(changed, tf.fill(changed.shape, tokens), tf.zeros(changed.shape));
  const shifted = tf.add<tf.Tensor3D>(tf.reshape(shifts, [batch, kvHeads, tokens]), tf.range(0, tokens));
  const rows = tf.cast(shifted, 'int32');
  return mapTensors(encoding, (tensor, part, {tokensPerRow}) => {
    if (tokensPerRow === Infinity) return tensor;
    // old and new rows one after another: tf.where would move codes through float32 on webgpu
    return gatherRows(append(tensor, anew[part]!, tokens, 2 * tokens), rows);
  });
}

/**
 * Checks that the tokens of a policy can take over evicted ones.
 * @throws InvalidArgumentError if its codec cannot encode the values of a token again, or if too few queries see all of its tokens.
 */
export function expectRefittable(policy: Policy): void {
  const {name, keep, store, recent} = policy;
  if (!refits(keep)) return;
  if (store.encodeValues === undefined) throw cannotEncode(store.name);
  if (keep.refit === 'leastSquares' && store.exact !== true) {
    throw new InvalidArgumentError(
      `${name}: refit 'leastSquares' changes the values of all kept tokens at each eviction, and ${store.name} would round them each time; give refit: true, ` +
        'or store them as dense.',
    );
  }
  if (refitsByQueries(keep) && recent < refitQueries) {
    throw new InvalidArgumentError(
      `${name}: refit needs the newest ${refitQueries} queries, and those of the ${recent} recent tokens alone see every token that may be ` +
        `evicted; give ${policy.recentOption?.(refitQueries) ?? `recent: ${refitQueries}`} or more${withoutQueries(policy)}.`,
    );
  }
}

/** How a policy can refit by the attention of all queries, if its options allow that. */
function withoutQueries({name, options, keep}: Policy): string {
  if (keep.observes?.statistic === 'mass')
    return ', or refit: true, which goes by the attention of all queries';
  return 'keep' in options || name === keep.name
    ? ', or refit: true with heaviest, which knows the attention of all queries'
    : '';
}

const cannotEncode = (store: string) =>
  new InvalidArgumentError(
    `refit: ${store} cannot encode the values of a token again by themselves; leave refit out, or store values as dense, float8 or integer with ` +
      "groupAxis 'token'.",
  );
