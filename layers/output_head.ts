import * as tf from '@tensorflow/tfjs';
import {linear} from '../ops/linear/index.js';
import {
  type KernelInitializer,
  type LayerArgs,
  configOf,
  knownDim,
  firstShape,
  onlyTensor,
  positive,
} from './layer_args.js';
import {type MatrixArgs, MatrixLayer} from './matrix_layer.js';

export interface OutputHeadArgs extends LayerArgs, MatrixArgs<'kernel'> {
  /** Number of tokens in the vocabulary: logits per position, at least 1. Required. */
  vocabSize: number;
  /** Whether logits have biases. Default false. */
  useBias?: boolean;
  /** How matrices start: `'glorotUniform'` to train, `'zeros'` if weights are set right after. Default `'glorotUniform'`. */
  kernelInitializer?: KernelInitializer;
}

/** Logits from hidden states by weights that are not the token embedding's: `x W (+ b)`, `[batch, tokens, dim]` to `[batch, tokens, vocabSize]`. */
export class OutputHead extends MatrixLayer<'kernel'> {
  /** @nocollapse */
  static readonly className = 'EigenkvOutputHead';
  private bias: tf.LayerVariable | undefined;
  private readonly config: Required<Omit<OutputHeadArgs, keyof LayerArgs | keyof MatrixArgs<'kernel'>>>;

  constructor(args: OutputHeadArgs) {
    super(args, ['kernel']);
    const {vocabSize, useBias = false, kernelInitializer = 'glorotUniform'} = args;
    positive(vocabSize, 'vocabSize', this.name);
    this.config = {vocabSize, useBias, kernelInitializer};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = knownDim(firstShape(inputShape), this.name);
    const {vocabSize, useBias, kernelInitializer} = this.config;
    this.addMatrix('kernel', {inputs: dim, outputs: vocabSize, kernelInitializer, variable: 'kernel'});
    if (useBias) this.bias = this.addWeight('bias', [vocabSize], 'float32', tf.initializers.zeros());
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const {activations} = this;
    return tf.tidy(() =>
      linear(onlyTensor(inputs, this.name), this.matrix('kernel'), {activations, bias: this.bias?.read()}),
    );
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return [...firstShape(inputShape).slice(0, -1), this.config.vocabSize];
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
