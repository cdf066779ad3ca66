import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {rmsNorm} from '../../ops/rms_norm/index.js';
import {type LayerArgs, configOf, firstShape, knownDim, onlyTensor} from '../layer_args.js';
import {registerUnlessTaken} from './register.js';

export interface KerasRmsNormalizationArgs extends LayerArgs {
  /** The axis that is normalised; only the last one, -1. Default -1. */
  axis?: number | readonly number[];
  /** Added to the mean square. Default 1e-6. */
  epsilon?: number;
}

/** `RMSNormalization` of Keras 3: `x / sqrt(mean(x^2) + epsilon) * scale` over the last axis (arXiv 1910.07467). */
export class KerasRmsNormalization extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'RMSNormalization';
  private readonly axis: number;
  private readonly epsilon: number;
  private scale: tf.LayerVariable | undefined;

  constructor(args: KerasRmsNormalizationArgs = {}) {
    super(args);
    const [axis = -1, ...others] = [args.axis ?? []].flat();
    if (!Number.isInteger(axis) || others.length > 0) {
      throw new InvalidArgumentError(`${this.name}: axis = ${shown(args.axis)}; expected the last axis, -1.`);
    }
    this.supportsMasking = true;
    this.axis = axis;
    this.epsilon = args.epsilon ?? 1e-6;
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const shape = firstShape(inputShape);
    if (this.axis !== -1 && this.axis !== shape.length - 1) {
      throw new InvalidArgumentError(
        `${this.name}: axis = ${this.axis} of [${shape.join(', ')}]; only the last axis is normalised here.`,
      );
    }
    this.scale = this.addWeight('scale', [knownDim(shape, this.name)], 'float32', tf.initializers.ones());
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => rmsNorm(onlyTensor(inputs, this.name), this.scale!.read(), this.epsilon));
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {axis, epsilon} = this;
    return {...super.getConfig(), ...configOf({axis, epsilon})};
  }
}

registerUnlessTaken(KerasRmsNormalization);

/** Root mean square normalisation as in Keras; see `KerasRmsNormalization`. */
export function kerasRmsNormalization(args: KerasRmsNormalizationArgs = {}): KerasRmsNormalization {
  return new KerasRmsNormalization(args);
}
