import * as tf from '@tensorflow/tfjs';
import {linear} from '../ops/linear/index.js';
import {
  type KernelInitializer,
  type LayerArgs,
  configOf,
  initializerOf,
  knownDim,
  onlyShape,
  onlyTensor,
  positive,
} from './layer_args.js';

export interface OutputHeadArgs extends LayerArgs {
  /** Number of tokens in the vocabulary: logits per position, at least 1. Required. */
  vocabSize: number;
  /** How matrices start: `'glorotUniform'` to train, `'zeros'` if weights are set right after. Default `'glorotUniform'`. */
  kernelInitializer?: KernelInitializer;
}

/** Logits from hidden states by weights that are not the token embedding's: `x W`, `[batch, tokens, dim]` to `[batch, tokens, vocabSize]`. */
export class OutputHead extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvOutputHead';
  private readonly config: Required<Omit<OutputHeadArgs, keyof LayerArgs>>;
  private kernel: tf.LayerVariable | undefined;

  constructor(args: OutputHeadArgs) {
    super(args);
    const {vocabSize, kernelInitializer = 'glorotUniform'} = args;
    positive(vocabSize, 'vocabSize', this.name);
    this.config = {vocabSize, kernelInitializer};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = knownDim(onlyShape(inputShape), this.name);
    const {vocabSize, kernelInitializer} = this.config;
    this.kernel = this.addWeight('kernel', [dim, vocabSize], 'float32', initializerOf(kernelInitializer));
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => linear(onlyTensor(inputs, this.name), this.kernel!.read()));
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return [...onlyShape(inputShape).slice(0, -1), this.config.vocabSize];
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.config)};
  }
}

tf.serialization.registerClass(OutputHead);

/** An output head with its own weights; see `OutputHead`. */
export function outputHead(args: OutputHeadArgs): OutputHead {
  return new OutputHead(args);
}
