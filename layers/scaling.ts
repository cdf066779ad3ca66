import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../base/errors.js';
import {type LayerArgs, configOf, firstShape, onlyTensor} from './layer_args.js';

export interface ScalingArgs extends LayerArgs {
  /** Factor of all numbers. Default 1. */
  factor?: number;
  /** The bound of the scaled numbers, above 0. Default: none. */
  softCap?: number | undefined;
}

/**
 * Numbers times a factor, bounded smoothly: `c tanh(factor x / c)` with `softCap` c, else `factor x`. Float32 of any shape. The
 * multipliers of embeddings, residual sums and logits of Granite and Gemma are such layers.
 */
export class Scaling extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvScaling';
  private readonly config: {readonly factor: number; readonly softCap?: number | undefined};

  constructor(args: ScalingArgs = {}) {
    super(args);
    this.supportsMasking = true; // passes a mask on to the attention after it, which refuses it
    const {factor = 1, softCap} = args;
    if (!Number.isFinite(factor)) {
      throw new InvalidArgumentError(`${this.name}: factor = ${shown(factor)}; expected a finite number.`);
    }
    if (softCap !== undefined && !(Number.isFinite(softCap) && softCap > 0)) {
      throw new InvalidArgumentError(
        `${this.name}: softCap = ${shown(softCap)}; expected a finite number above 0, or none: leave it out.`,
      );
    }
    this.config = {factor, softCap};
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const {factor, softCap} = this.config;
    return tf.tidy(() => {
      const x = onlyTensor(inputs, this.name);
      if (softCap === undefined) return tf.mul(x, factor);
      return tf.mul(tf.tanh(tf.mul(x, factor / softCap)), softCap);
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.config)};
  }
}

tf.serialization.registerClass(Scaling);

/** A factor and a smooth bound; see `Scaling`. */
export function scaling(args: ScalingArgs = {}): Scaling {
  return new Scaling(args);
}
