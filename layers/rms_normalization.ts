import * as tf from '@tensorflow/tfjs';
import {rmsNorm} from '../ops/rms_norm/index.js';
import {type LayerArgs, configOf, knownDim, firstShape, onlyTensor} from './layer_args.js';

export interface RmsNormalizationArgs extends LayerArgs {
  /** Added to the mean square, so that zeros can be divided. Default 1e-5. */
  epsilon?: number;
}

/** `x / sqrt(mean(x^2) + epsilon) * gain` over the last axis (Zhang and Sennrich, 2019, arXiv 1910.07467). */
export class RmsNormalization extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvRmsNormalization';
  private readonly epsilon: number;
  private gain: tf.LayerVariable | undefined;

  constructor(args: RmsNormalizationArgs = {}) {
    super(args);
    this.supportsMasking = true; // passes a mask on to the attention after it, which refuses it
    this.epsilon = args.epsilon ?? 1e-5;
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = knownDim(firstShape(inputShape), this.name);
    this.gain = this.addWeight('gain', [dim], 'float32', tf.initializers.ones());
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return rmsNorm(onlyTensor(inputs, this.name), this.gain!.read(), this.epsilon);
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf({epsilon: this.epsilon})};
  }
}

tf.serialization.registerClass(RmsNormalization);

/** Root mean square normalisation; see `RmsNormalization`. */
export function rmsNormalization(args: RmsNormalizationArgs = {}): RmsNormalization {
  return new RmsNormalization(args);
}
