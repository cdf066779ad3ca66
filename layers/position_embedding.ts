import * as tf from '@tensorflow/tfjs';
import {embed} from '../ops/embed/index.js';
import {ContextLengthError} from '../base/errors.js';
import {
  type CallArgs,
  type KernelInitializer,
  type LayerArgs,
  configOf,
  initializerOf,
  knownDim,
  firstShape,
  onlyTensor,
  positive,
} from './layer_args.js';

export interface PositionEmbeddingArgs extends LayerArgs {
  /** Number of positions that have a vector: the model's context in tokens, at least 1. Required. */
  maxPositions: number;
  /** The row of the table that is the first position, from 0 on; the table has so many rows more. OPT's is 2. Default 0. */
  firstPosition?: number;
  /** How matrices start: `'glorotUniform'` to train, `'zeros'` if weights are set right after. Default `'glorotUniform'`. */
  kernelInitializer?: KernelInitializer;
}

/**
 * Adds a learned vector per position, as GPT-2 does: `x_t + P[firstPosition + start + t]`, where `start` is the number of tokens in the
 * cache's text (0 without a cache). Input and output float32 `[batch, tokens, dim]`.
 */
export class PositionEmbedding extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvPositionEmbedding';
  private readonly config: Required<Omit<PositionEmbeddingArgs, keyof LayerArgs>>;
  private table: tf.LayerVariable | undefined;

  constructor(args: PositionEmbeddingArgs) {
    super(args);
    this.supportsMasking = true; // passes a mask on to the attention after it, which refuses it
    const {maxPositions, firstPosition = 0, kernelInitializer = 'glorotUniform'} = args;
    positive(maxPositions, 'maxPositions', this.name);
    positive(firstPosition + 1, 'firstPosition + 1', this.name);
    this.config = {maxPositions, firstPosition, kernelInitializer};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = knownDim(firstShape(inputShape), this.name);
    const {maxPositions, firstPosition, kernelInitializer} = this.config;
    this.table = this.addWeight(
      'positions',
      [firstPosition + maxPositions, dim],
      'float32',
      initializerOf(kernelInitializer),
    );
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor {
    return tf.tidy(() => {
      const x = onlyTensor(inputs, this.name);
      const start = kwargs.cache?.tokens ?? 0;
      const tokens = x.shape[1]!;
      const {maxPositions, firstPosition} = this.config;
      if (start + tokens > maxPositions) {
        throw new ContextLengthError(
          `The model has ${maxPositions} positions; ${start + tokens} tokens were given. Shorten the text.`,
        );
      }
      const first = firstPosition + start;
      const positions = tf.range(first, first + tokens, 1, 'int32').as2D(1, tokens);
      return tf.add(x, embed(positions, this.table!.read() as tf.Tensor2D));
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.config)};
  }
}

tf.serialization.registerClass(PositionEmbedding);

/** Learned positions; see `PositionEmbedding`. */
export function positionEmbedding(args: PositionEmbeddingArgs): PositionEmbedding {
  return new PositionEmbedding(args);
}
