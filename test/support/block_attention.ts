import * as tf from '@tensorflow/tfjs';
import type {CallArgs, LayerArgs} from '../../layers/layer_args.js';

/** Attention of four dense layers as fields, and blocks that call their parts themselves, as others write them. */
export interface ProjectedArgs extends LayerArgs {
  readonly nHead?: number;
  readonly nKvHead?: number;
  readonly useBias?: boolean;
  /** Activation of the queries, which no attention has. */
  readonly activation?: 'relu';
  /** Slopes of a bias that falls with distance: the powers of 2^(-8 / heads). */
  readonly alibi?: boolean;
  /** `cap * tanh(score / cap)`. */
  readonly cap?: number;
  readonly scale?: number;
  readonly window?: number;
}

const only = (inputs: tf.Tensor | tf.Tensor[]) => (Array.isArray(inputs) ? inputs[0]! : inputs);

/** Causal attention with projections `wq`, `wk`, `wv` and `wo`. */
export class ProjectedAttention extends tf.layers.Layer {
  static readonly className: string = 'ProjectedAttention';
  readonly nHead: number;
  readonly nKvHead: number;
  private readonly odd: ProjectedArgs;
  protected wq: tf.layers.Layer | undefined;
  protected wk: tf.layers.Layer | undefined;
  protected wv: tf.layers.Layer | undefined;
  protected wo: tf.layers.Layer | undefined;

  constructor({
    nHead = 4,
    nKvHead = nHead,
    useBias,
    activation,
    alibi,
    cap,
    scale,
    window,
    ...args
  }: ProjectedArgs = {}) {
    super(args);
    this.nHead = nHead;
    this.nKvHead = nKvHead;
    this.odd = {useBias, activation, alibi, cap, scale, window};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = (Array.isArray(inputShape[0]) ? inputShape[0] : (inputShape as tf.Shape)).at(-1)!;
    const {useBias = true, activation} = this.odd;
    const dense = (units: number, seed: number, name: string) => {
      const layer = tf.layers.dense({
        ...{units, useBias, name: `${this.name}_${name}`},
        activation: name === 'wq' ? activation : undefined,
        kernelInitializer: tf.initializers.randomNormal({stddev: 0.25, seed}),
        biasInitializer: tf.initializers.randomNormal({stddev: 0.25, seed: seed + 9}),
      });
      layer.build([null, null, dim]);
      layer.built = true;
      return layer;
    };
    const size = dim / this.nHead;
    this.wq = dense(dim, 1, 'wq');
    this.wk = dense(this.nKvHead * size, 2, 'wk');
    this.wv = dense(this.nKvHead * size, 3, 'wv');
    this.wo = dense(dim, 4, 'wo');
    super.build(inputShape);
  }

  override get trainableWeights(): tf.LayerVariable[] {
    return [this.wq, this.wk, this.wv, this.wo].flatMap(layer => layer?.trainableWeights ?? []);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = only(inputs);
      const [batch, tokens, dim] = x.shape as [number, number, number];
      const size = dim / this.nHead;
      const split = (layer: tf.layers.Layer, heads: number) => {
        const parts = tf.reshape(layer.apply(x) as tf.Tensor, [batch, tokens, heads, size]);
        const repeated = tf.tile(tf.expandDims(parts, 3), [1, 1, 1, this.nHead / heads, 1]);
        return tf.transpose(tf.reshape(repeated, [batch, tokens, this.nHead, size]), [0, 2, 1, 3]);
      };
      const [q, k, v] = [
        split(this.wq!, this.nHead),
        split(this.wk!, this.nKvHead),
        split(this.wv!, this.nKvHead),
      ];
      const {alibi, cap, scale = 1 / Math.sqrt(size), window = Infinity} = this.odd;
      const rows = tf.reshape(tf.range(0, tokens), [tokens, 1]);
      const distance = tf.sub(rows, tf.reshape(tf.range(0, tokens), [1, tokens]));
      let scores: tf.Tensor = tf.mul(tf.matMul(q, k, false, true), scale);
      if (cap !== undefined) scores = tf.mul(tf.tanh(tf.div(scores, cap)), cap);
      if (alibi === true) {
        const slopes = Array.from({length: this.nHead}, (_, head) => 2 ** ((-8 * (head + 1)) / this.nHead));
        scores = tf.sub(scores, tf.mul(tf.reshape(tf.tensor1d(slopes), [1, this.nHead, 1, 1]), distance));
      }
      const visible = tf.logicalAnd(tf.greaterEqual(distance, 0), tf.less(distance, Math.min(window, 1e6)));
      const p = tf.softmax(tf.where(visible, scores, tf.fill(scores.shape, -1e9)));
      const joined = tf.reshape(tf.transpose(tf.matMul(p, v), [0, 2, 1, 3]), x.shape);
      return this.wo!.apply(joined) as tf.Tensor;
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), nHead: this.nHead};
  }
}

/** A norm, an attention and a sum in one layer. It hands keyword arguments to its attention, or not. */
export class TransformerBlock extends tf.layers.Layer {
  static readonly className = 'TransformerBlock';
  private readonly norm: tf.layers.Layer;

  constructor(
    readonly attention: tf.layers.Layer,
    private readonly handsOver = true,
    args: LayerArgs = {},
  ) {
    super(args);
    this.norm = tf.layers.layerNormalization({name: `${this.name}_norm`});
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    for (const layer of [this.norm, this.attention]) {
      if (layer.built) continue;
      layer.build(inputShape);
      layer.built = true;
    }
    super.build(inputShape);
  }

  override get trainableWeights(): tf.LayerVariable[] {
    return [this.norm, this.attention].flatMap(layer => layer.trainableWeights);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor {
    return tf.tidy(() => {
      const x = only(inputs);
      const normed = this.norm.apply(x) as tf.Tensor;
      const attended = this.attention.apply(normed, this.handsOver ? kwargs : undefined) as tf.Tensor;
      return tf.add(x, attended);
    });
  }
}
