import * as tf from '@tensorflow/tfjs';
import {type CallArgs, type LayerArgs, firstShape, onlyTensor} from './layer_args.js';

/**
 * Gives all tokens, or only the last one with `model.apply(ids, {lastTokenOnly: true})`. Before the output head it saves the logits
 * of a prompt that nobody reads. Input `[batch, tokens, dim]`.
 */
export class TokenSelection extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvTokenSelection';

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor {
    return tf.tidy(() => {
      const x = onlyTensor(inputs, this.name);
      const tokens = x.shape[1]!;
      if (kwargs.lastTokenOnly !== true || tokens === 1) return tf.clone(x);
      return tf.slice(x, [0, tokens - 1, 0], [-1, 1, -1]);
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape);
  }
}

tf.serialization.registerClass(TokenSelection);

/** All tokens or the last; see `TokenSelection`. */
export function tokenSelection(args: LayerArgs = {}): TokenSelection {
  return new TokenSelection(args);
}
