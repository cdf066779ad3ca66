import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast} from '../../base/options.js';
import {configOf} from '../layer_args.js';
import {type KerasAttentionArgs, readArgs} from './attention_args.js';
import {KerasAttention} from './keras_attention.js';
import {registerUnlessTaken} from './register.js';

export interface GroupQueryAttentionArgs extends KerasAttentionArgs {
  /** Numbers per head. Required. */
  headDim: number;
  /** Number of query heads; a multiple of `numKeyValueHeads`. Required. */
  numQueryHeads: number;
  /** Number of key and value heads. Required. */
  numKeyValueHeads: number;
}

const entries = {headDim: atLeast(1), numQueryHeads: atLeast(1), numKeyValueHeads: atLeast(1)};

/**
 * `GroupQueryAttention` of Keras 3 (Ainslie et al., 2023, arXiv 2305.13245), for models that were made there; see `KerasAttention`. Its
 * class name, in saved models too, is `GroupedQueryAttention`, as in Keras.
 */
export class GroupQueryAttention extends KerasAttention {
  /** @nocollapse */
  static readonly className = 'GroupedQueryAttention';

  constructor(args: GroupQueryAttentionArgs) {
    const {own, options} = readArgs('GroupQueryAttention', args, entries);
    const {headDim, numQueryHeads, numKeyValueHeads} = own;
    if (numQueryHeads % numKeyValueHeads !== 0) {
      throw new InvalidArgumentError(
        `GroupQueryAttention: numQueryHeads = ${numQueryHeads} is not a multiple of numKeyValueHeads = ${numKeyValueHeads}.`,
      );
    }
    super(args, options, {
      ...{heads: numQueryHeads, kvHeads: numKeyValueHeads},
      ...{keyDim: headDim, valueDim: headDim},
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {heads: numQueryHeads, kvHeads: numKeyValueHeads, keyDim: headDim} = this.sizes;
    return {...super.getConfig(), ...configOf({headDim, numQueryHeads, numKeyValueHeads})};
  }
}

registerUnlessTaken(GroupQueryAttention);

/** Grouped-query attention as in Keras; see `GroupQueryAttention`. */
export function groupQueryAttention(args: GroupQueryAttentionArgs): GroupQueryAttention {
  return new GroupQueryAttention(args);
}
