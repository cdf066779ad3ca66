import * as tf from '@tensorflow/tfjs';
import {type LayerArgs, configOf, firstShape, onlyTensor} from '../layer_args.js';

export interface PaddingMaskArgs extends LayerArgs {
  /** The id, or the number of every feature, of a token that is padding. Default 0. */
  maskValue?: number;
}

/**
 * Which tokens are no padding, as a tensor of the graph: bool `[batch, tokens]`, true for tokens that count. Input: ids
 * `[batch, tokens]`, or features `[batch, tokens, dim]`, where a token is padding if all its features are `maskValue`. Keras attaches such
 * masks to tensors; tfjs changes their shape in sums and passes them to layers of other branches, so attention takes them as an input.
 */
export class PaddingMask extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvPaddingMask';
  private readonly maskValue: number;

  constructor(args: PaddingMaskArgs = {}) {
    super(args);
    this.maskValue = args.maskValue ?? 0;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = onlyTensor(inputs, this.name);
      const counts = tf.notEqual(x, tf.scalar(this.maskValue, x.dtype as 'float32' | 'int32'));
      return x.rank === 3 ? tf.any(counts, -1) : counts;
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape).slice(0, 2);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf({maskValue: this.maskValue})};
  }
}

tf.serialization.registerClass(PaddingMask);

/** Which tokens are no padding; see `PaddingMask`. */
export function paddingMask(args: PaddingMaskArgs = {}): PaddingMask {
  return new PaddingMask(args);
}
