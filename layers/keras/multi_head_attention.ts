import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {atLeast} from '../../base/options.js';
import {configOf} from '../layer_args.js';
import {type KerasAttentionArgs, readArgs} from './attention_args.js';
import {KerasAttention} from './keras_attention.js';
import {registerUnlessTaken} from './register.js';

export interface MultiHeadAttentionArgs extends KerasAttentionArgs {
  /** Number of heads, at least 1. Required. */
  numHeads: number;
  /** Numbers per head of queries and keys. Required. */
  keyDim: number;
  /** Numbers per head of values. Default: `keyDim`. */
  valueDim?: number;
  /** Numbers per token that come out. Default: as many as the query has. */
  outputShape?: number | readonly number[];
  /** Axes that are attended over; only the axis of the tokens, 1. Default: that. */
  attentionAxes?: number | readonly number[];
}

const sizes = v.union([atLeast(1), v.array(v.number())], 'expected whole numbers');
const entries = {
  numHeads: atLeast(1),
  keyDim: atLeast(1),
  valueDim: v.optional(atLeast(1)),
  outputShape: v.optional(sizes),
  attentionAxes: v.optional(v.union([v.number(), v.array(v.number())], 'expected axes')),
};

/**
 * `MultiHeadAttention` of Keras 2 and 3 (Vaswani et al., 2017, arXiv 1706.03762), for models that were made there; see
 * `KerasAttention`. The scores cannot be returned, and attention is over the axis of the tokens alone.
 */
export class MultiHeadAttention extends KerasAttention {
  /** @nocollapse */
  static readonly className = 'MultiHeadAttention';

  constructor(args: MultiHeadAttentionArgs) {
    const {own, options} = readArgs('MultiHeadAttention', args, entries);
    const {numHeads: heads, keyDim, valueDim = keyDim, outputShape, attentionAxes} = own;
    super(args, options, {
      ...{heads, kvHeads: heads, keyDim, valueDim},
      outputDim: only(outputShape, 'outputShape', size => Number.isInteger(size) && size >= 1),
    });
    only(attentionAxes, 'attentionAxes', axis => axis === 1 || axis === -1);
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {heads: numHeads, keyDim, valueDim, outputDim} = this.sizes;
    const outputShape = outputDim === undefined ? undefined : [outputDim];
    return {...super.getConfig(), ...configOf({numHeads, keyDim, valueDim, outputShape})};
  }
}

/** The only number of an option of Keras that may have several. */
function only(
  given: number | readonly number[] | undefined,
  option: string,
  isAllowed: (size: number) => boolean,
): number | undefined {
  if (given === undefined) return undefined;
  const [first, ...others] = [given].flat();
  if (first !== undefined && others.length === 0 && isAllowed(first)) return first;
  throw new InvalidArgumentError(
    `MultiHeadAttention: ${option} = ${shown(given)}; attention here is of [batch, tokens, dim], over the tokens.`,
  );
}

registerUnlessTaken(MultiHeadAttention);

/** Attention as in Keras; see `MultiHeadAttention`. */
export function multiHeadAttention(args: MultiHeadAttentionArgs): MultiHeadAttention {
  return new MultiHeadAttention(args);
}
