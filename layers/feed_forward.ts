import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../base/errors.js';
import {linear, linears} from '../ops/linear/index.js';
import {swigluLinear} from '../ops/swiglu_linear/index.js';
import {
  type KernelInitializer,
  type LayerArgs,
  configOf,
  knownDim,
  firstShape,
  inputAndResidual,
  positive,
} from './layer_args.js';
import {type MatrixArgs, MatrixLayer} from './matrix_layer.js';

/** The nonlinearity between the two projections. */
export type Activation = 'silu' | 'gelu' | 'geluNew' | 'relu';

const activations: Readonly<Record<Activation, (x: tf.Tensor) => tf.Tensor>> = {
  silu: (x: tf.Tensor) => tf.mul(x, tf.sigmoid(x)),
  /** x/2 (1 + erf(x / sqrt 2)) (Hendrycks and Gimpel, 2016, arXiv 1606.08415). */
  gelu: (x: tf.Tensor) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.div(x, Math.SQRT2)), 1)),
  /** The approximation by tanh that GPT-2 uses: tanh(z) = 2 sigmoid(2z) - 1, so x/2 (1 + tanh z) = x sigmoid(2z). */
  geluNew: (x: tf.Tensor) => {
    const cubic = tf.add(x, tf.mul(tf.mul(tf.mul(x, x), x), 0.044715));
    return tf.mul(x, tf.sigmoid(tf.mul(cubic, 2 * Math.sqrt(2 / Math.PI))));
  },
  relu: (x: tf.Tensor) => tf.relu(x),
};

const kernels = ['gate', 'up', 'down'] as const;
/** The matrices of a feed-forward layer. */
export type FeedForwardKernel = (typeof kernels)[number];

export interface FeedForwardArgs extends LayerArgs, MatrixArgs<FeedForwardKernel> {
  /** Numbers per token between the two projections, at least 1. Required. */
  hiddenDim: number;
  /** The nonlinearity: `'silu'`, `'gelu'`, `'geluNew'` (GPT-2's approximation by tanh) or `'relu'`. Default `'silu'`. */
  activation?: Activation;
  /** Whether a second projection gates the first (SwiGLU and its variants, Shazeer, 2020, arXiv 2002.05202). Default true. */
  gated?: boolean;
  /** Whether the projections have biases. Default false. */
  useBias?: boolean;
  /** How matrices start: `'glorotUniform'` to train, `'zeros'` if weights are set right after. Default `'glorotUniform'`. */
  kernelInitializer?: KernelInitializer;
}

/**
 * The feed-forward part of a Transformer block: gated `(act(x W_gate) * (x W_up)) W_down`, plain `act(x W_up) W_down`,
 * with biases if `useBias`. Input and output float32 `[batch, tokens, model dim]`. A second input of the same shape is added to the
 * output: `feedForward.apply([norm.apply(x), x])`.
 */
export class FeedForward extends MatrixLayer<FeedForwardKernel> {
  /** @nocollapse */
  static readonly className = 'EigenkvFeedForward';
  private readonly config: Required<
    Omit<FeedForwardArgs, keyof LayerArgs | keyof MatrixArgs<FeedForwardKernel>>
  >;

  constructor(args: FeedForwardArgs) {
    super(args, kernels);
    this.supportsMasking = true; // passes a mask on to the attention after it, which refuses it
    const {hiddenDim, activation = 'silu', gated = true, useBias = false} = args;
    positive(hiddenDim, 'hiddenDim', this.name);
    if (!(activation in activations)) {
      throw new InvalidArgumentError(
        `${this.name}: activation = "${activation}"; expected one of ${Object.keys(activations).join(', ')}.`,
      );
    }
    const {kernelInitializer = 'glorotUniform'} = args;
    this.config = {hiddenDim, activation, gated, useBias, kernelInitializer};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = knownDim(firstShape(inputShape), this.name);
    const {hiddenDim, gated, useBias, kernelInitializer} = this.config;
    const add = (kernel: FeedForwardKernel, inputs: number, outputs: number) =>
      this.addProjection(kernel, {inputs, outputs, useBias, kernelInitializer});
    if (gated) add('gate', dim, hiddenDim);
    add('up', dim, hiddenDim);
    add('down', hiddenDim, dim);
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const {x, residual} = inputAndResidual(inputs, this.name);
      const {activations} = this;
      const {matrix, bias} = this.projection('down');
      return linear(this.hidden(x), matrix, {bias, residual, activations});
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(inputShape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.config)};
  }

  /** What is between the two projections. */
  private hidden(x: tf.Tensor): tf.Tensor {
    const {gated, activation} = this.config;
    const activate = activations[activation];
    const options = {activations: this.activations};
    const up = this.projection('up');
    if (!gated) return activate(linear(x, up.matrix, {bias: up.bias, ...options}));
    const gate = this.projection('gate');
    if (activation === 'silu') {
      return swigluLinear(x, gate.matrix, up.matrix, {gateBias: gate.bias, upBias: up.bias, ...options});
    }
    const [first, second] = linears(x, [gate, up], options);
    return tf.mul(activate(first!), second!);
  }
}

tf.serialization.registerClass(FeedForward);

/** The feed-forward part of a block; see `FeedForward`. */
export function feedForward(args: FeedForwardArgs): FeedForward {
  return new FeedForward(args);
}
