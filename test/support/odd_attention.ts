import * as tf from '@tensorflow/tfjs';
import type {LayerArgs} from '../../layers/layer_args.js';
import {randomFloats} from './random.js';

/** What an attention layer may do besides `softmax(q k^T / sqrt(dim)) v` over the past. */
export interface Oddities {
  readonly window?: number;
  /** Factor of the scores. */
  readonly scale?: number;
  /** Slope of a bias that falls with distance (ALiBi). */
  readonly slope?: number;
  /** The slopes of ALiBi, one for each head. */
  readonly alibi?: boolean;
  /** `cap * tanh(score / cap)`. */
  readonly cap?: number;
  /** Rate of dropout of the probabilities, in inference, too. */
  readonly dropped?: number;
  /** A learned key and value to which every token attends; initially zeros. */
  readonly extraToken?: boolean;
  /** 1 is added to the sum of the exponentials. */
  readonly sink?: boolean;
  /** Number of later tokens to which each token attends. */
  readonly ahead?: number;
  /** Queries and keys of length 1. */
  readonly normed?: boolean;
  /** Rotates queries and keys by their positions. */
  readonly rotary?: boolean;
  /** A learned bias per distance up to 32; initially zeros. */
  readonly distanceBias?: boolean;
  /** Adds its input to its output. */
  readonly residual?: boolean;
  /** Adds the number of its calls to its output. */
  readonly counts?: boolean;
  /** Its input is the mean of each token and the one before. */
  readonly shifted?: boolean;
}

export interface OddArgs extends LayerArgs {
  readonly heads?: number;
  readonly odd?: Oddities;
  /** What its config says, which may differ from what it does. */
  readonly says?: tf.serialization.ConfigDict;
}

/** Fused weights of a GPT's attention, with oddities. An adapter that only looks at the class takes it for a plain one. */
export class OddAttention extends tf.layers.Layer {
  static readonly className: string = 'CausalSelfAttention';
  private readonly heads: number;
  protected readonly odd: Oddities;
  private readonly says: tf.serialization.ConfigDict;
  private readonly named: Record<string, tf.LayerVariable> = {};
  private calls = 0;

  constructor({heads = 2, odd = {}, says = {}, ...args}: OddArgs) {
    super(args);
    this.heads = heads;
    this.odd = odd;
    this.says = says;
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const dim = (Array.isArray(inputShape[0]) ? inputShape[0] : (inputShape as tf.Shape)).at(-1)!;
    const add = (name: string, shape: number[], zeros = false) => {
      const initializer = zeros ? tf.initializers.zeros() : tf.initializers.glorotNormal({seed: 3});
      this.named[name] = this.addWeight(name, shape, 'float32', initializer);
    };
    add('qkv', [dim, 3 * dim]);
    add('out', [dim, dim]);
    if (this.odd.extraToken === true) add('extra', [2, this.heads, 1, dim / this.heads], true);
    if (this.odd.distanceBias === true) add('bias', [32], true);
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      const [batch, tokens, dim] = x.shape as [number, number, number];
      const seen = this.odd.shifted === true ? tf.div(tf.add(x, before(x)), 2) : x;
      const fused = tf.matMul(tf.reshape(seen, [-1, dim]), this.named['qkv']!.read());
      const [q, k, v] = tf
        .split(tf.reshape(fused, [batch, tokens, 3 * dim]), 3, 2)
        .map(part => tf.transpose(tf.reshape(part, [batch, tokens, this.heads, -1]), [0, 2, 1, 3]));
      const attended = this.attend(q!, k!, v!);
      const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, dim]);
      const out = tf.reshape(tf.matMul(joined, this.named['out']!.read() as tf.Tensor2D), x.shape);
      const counted = this.odd.counts === true ? tf.add(out, this.calls++) : out;
      return this.odd.residual === true ? tf.add(counted, x) : counted;
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    return Array.isArray(inputShape[0]) ? inputShape[0] : (inputShape as tf.Shape);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), nHead: this.heads, ...this.says};
  }

  private attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
    const {scale = 1 / Math.sqrt(q.shape[3]!), cap, slope, normed, rotary, dropped} = this.odd;
    const tokens = q.shape[2]!;
    const [queries, keys] = [q, k].map(side => {
      const unit = normed === true ? tf.div(side, tf.sqrt(tf.sum(tf.square(side), 3, true))) : side;
      return rotary === true ? rotated(unit) : unit;
    }) as [tf.Tensor, tf.Tensor];
    const distance = tf.sub(
      tf.reshape(tf.range(0, tokens), [tokens, 1]),
      tf.reshape(tf.range(0, tokens), [1, tokens]),
    );
    let scores: tf.Tensor = tf.mul(tf.matMul(queries, keys, false, true), scale);
    if (cap !== undefined) scores = tf.mul(tf.tanh(tf.div(scores, cap)), cap);
    if (slope !== undefined) scores = tf.sub(scores, tf.mul(distance, slope));
    if (this.odd.alibi === true) {
      const slopes = Array.from({length: this.heads}, (_, head) => 2 ** ((-8 * (head + 1)) / this.heads));
      scores = tf.sub(scores, tf.mul(distance, tf.tensor3d(slopes, [this.heads, 1, 1])));
    }
    if (this.odd.distanceBias === true) {
      const index = tf.cast(tf.clipByValue(distance, 0, 31), 'int32');
      scores = tf.add(scores, tf.gather(this.named['bias']!.read(), index));
    }
    const {window = Infinity, ahead = 0} = this.odd;
    const visible = tf.logicalAnd(
      tf.greaterEqual(distance, -ahead),
      tf.less(distance, Math.min(window, 1e6)),
    );
    const masked = tf.where(visible, scores, tf.fill(scores.shape, -1e9));
    const p = this.probabilities(masked, queries);
    const kept = dropped === undefined ? p : tf.dropout(p, dropped);
    return tf.matMul(kept, this.values(v));
  }

  private probabilities(scores: tf.Tensor, queries: tf.Tensor): tf.Tensor {
    const [batch, heads, tokens] = scores.shape as [number, number, number];
    if (this.odd.sink === true) {
      const withSink = tf.softmax(tf.concat([scores, tf.zeros([batch, heads, tokens, 1])], 3));
      return tf.slice(withSink, [0, 0, 0, 0], [-1, -1, -1, tokens]);
    }
    if (this.odd.extraToken !== true) return tf.softmax(scores);
    const key = tf.slice(this.named['extra']!.read(), 0, 1);
    const beside = tf.sum(tf.mul(queries, key.reshape([1, heads, 1, -1])), 3, true);
    return tf.softmax(tf.concat([scores, beside], 3));
  }

  private values(v: tf.Tensor): tf.Tensor {
    if (this.odd.extraToken !== true) return v;
    const [batch, heads, , dim] = v.shape as [number, number, number, number];
    const value = tf.reshape(tf.slice(this.named['extra']!.read(), 1, 1), [1, heads, 1, dim]);
    return tf.concat([v, tf.tile(value, [batch, 1, 1, 1])], 2);
  }
}

/** The token before each; zeros before the first. */
export function before(x: tf.Tensor): tf.Tensor {
  const [batch, tokens, ...rest] = x.shape as [number, number, ...number[]];
  const zeros = tf.zeros([batch, 1, ...rest]);
  return tokens === 1 ? zeros : tf.concat([zeros, tf.slice(x, [0, 0], [-1, tokens - 1])], 1);
}

/** Pairs (i, i + half), by the angles of theta 100. */
function rotated(x: tf.Tensor): tf.Tensor {
  const [, , tokens, dim] = x.shape as [number, number, number, number];
  const half = dim / 2;
  const angles = tf.mul(
    tf.reshape(tf.range(0, tokens), [tokens, 1]),
    tf.reshape(tf.pow(100, tf.div(tf.range(0, half), -half)), [1, half]),
  );
  const [first, second] = tf.split(x, 2, 3) as [tf.Tensor, tf.Tensor];
  const [cos, sin] = [tf.cos(angles), tf.sin(angles)];
  return tf.concat(
    [tf.sub(tf.mul(first, cos), tf.mul(second, sin)), tf.add(tf.mul(second, cos), tf.mul(first, sin))],
    3,
  );
}

export const oddSizes = {dim: 16, vocab: 40};

/** Embedding, a sequence of layers with residual connections, and logits. */
export function modelWith(
  layers: readonly tf.layers.Layer[],
  {scale = 0.5, length = null}: {readonly scale?: number; readonly length?: number | null} = {},
): tf.LayersModel {
  const {dim, vocab} = oddSizes;
  const ids = tf.input({shape: [length]});
  let x = tf.layers.embedding({inputDim: vocab, outputDim: dim}).apply(ids) as tf.SymbolicTensor;
  for (const layer of layers) {
    x = tf.layers.add().apply([x, layer.apply(x) as tf.SymbolicTensor]) as tf.SymbolicTensor;
  }
  const model = tf.model({
    inputs: ids,
    outputs: tf.layers.dense({units: vocab}).apply(x) as tf.SymbolicTensor,
  });
  randomizeMatrices(model, scale);
  return model;
}

/** Replaces weights by random numbers, except those that are zeros. */
function randomizeMatrices(model: tf.LayersModel, scale = 0.5): void {
  tf.tidy(() =>
    model.setWeights(
      model.getWeights().map((weight, i) => {
        const stays = weight.rank < 2 || tf.max(tf.abs(weight)).dataSync()[0] === 0;
        return stays ? weight : tf.tensor(randomFloats(70 + i, weight.size, scale), weight.shape);
      }),
    ),
  );
}
