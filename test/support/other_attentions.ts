import * as tf from '@tensorflow/tfjs';
import {randomFloats} from './random.js';

/** Attention layers as others write them, independent of this package, and a model of them. */
const [dim, heads, vocab] = [12, 3, 40];

/** Plain causal attention over one `[tokens, dim]` matrix per head, independent of the ops of this package. */
function causal(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
  const size = q.shape.at(-1)!;
  const n = q.shape.at(-2)!;
  const mask = tf.linalg.bandPart(tf.ones([n, n]), -1, 0);
  const scores = tf.add(tf.div(tf.matMul(q, k, false, true), Math.sqrt(size)), tf.mul(tf.sub(mask, 1), 1e9));
  return tf.matMul(tf.softmax(scores), v);
}

/** With the weight layout of Keras. */
export class MultiHeadAttention extends tf.layers.Layer {
  static readonly className = 'MultiHeadAttention';
  private readonly named: Record<string, tf.LayerVariable> = {};

  override build(): void {
    for (const side of ['query', 'key', 'value', 'attention_output']) {
      const isOutput = side === 'attention_output';
      const size = dim / heads;
      this.named[side] = this.addWeight(
        `${side}/kernel`,
        isOutput ? [heads, size, dim] : [dim, heads, size],
        'float32',
        tf.initializers.glorotUniform({}),
      );
      this.named[`${side}Bias`] = this.addWeight(
        `${side}/bias`,
        isOutput ? [dim] : [heads, size],
        'float32',
        tf.initializers.zeros(),
      );
    }
    super.build([]);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      const read = (name: string) => this.named[name]!.read();
      const projected = (side: string) => {
        const flat = tf.matMul(tf.reshape(x, [-1, dim]), tf.reshape(read(side), [dim, -1]));
        const moved = tf.add(tf.reshape(flat, [-1, x.shape[1]!, heads, dim / heads]), read(`${side}Bias`));
        return tf.transpose(moved, [0, 2, 1, 3]);
      };
      const attended = causal(projected('query'), projected('key'), projected('value'));
      const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, dim]);
      const out = tf.matMul(joined, tf.reshape(read('attention_output'), [dim, dim]));
      return tf.add(tf.reshape(out, [-1, x.shape[1]!, dim]), read('attention_outputBias'));
    });
  }
}

/** With the fused weights of a GPT. */
export class CausalSelfAttention extends tf.layers.Layer {
  static readonly className = 'CausalSelfAttention';
  private readonly named: tf.LayerVariable[] = [];

  override build(): void {
    const kernel = tf.initializers.glorotUniform({});
    this.named.push(this.addWeight('c_attn', [dim, 3 * dim], 'float32', kernel));
    this.named.push(this.addWeight('c_attn_bias', [3 * dim], 'float32', tf.initializers.zeros()));
    this.named.push(this.addWeight('c_proj', [dim, dim], 'float32', kernel));
    super.build([]);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
      const [fused, bias, output] = this.named.map(variable => variable.read());
      const n = x.shape[1]!;
      const qkv = tf.add(tf.matMul(tf.reshape(x, [-1, dim]), fused as tf.Tensor2D), bias!);
      const split = tf.split(tf.reshape(qkv, [-1, n, 3 * dim]), 3, 2);
      const [q, k, v] = split.map(part =>
        tf.transpose(tf.reshape(part, [-1, n, heads, dim / heads]), [0, 2, 1, 3]),
      );
      const joined = tf.reshape(tf.transpose(causal(q!, k!, v!), [0, 2, 1, 3]), [-1, dim]);
      return tf.reshape(tf.matMul(joined, output as tf.Tensor2D), [-1, n, dim]);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), nHead: heads};
  }
}

export class GptAttention extends CausalSelfAttention {
  static override readonly className = 'GptAttention' as 'CausalSelfAttention';
}

/** Embedding, two attention blocks and logits, for texts of any length or of one fixed length. */
export function modelOf(
  make: (name: string) => tf.layers.Layer,
  length: number | null = null,
): tf.LayersModel {
  const ids = tf.input({shape: [length]});
  let x = tf.layers.embedding({inputDim: vocab, outputDim: dim}).apply(ids) as tf.SymbolicTensor;
  for (const depth of [0, 1]) {
    const attended = make(`block_${depth}`).apply(x) as tf.SymbolicTensor;
    x = tf.layers.add().apply([x, attended]) as tf.SymbolicTensor;
  }
  const logits = tf.layers.dense({units: vocab}).apply(x) as tf.SymbolicTensor;
  const model = tf.model({inputs: ids, outputs: logits});
  tf.tidy(() =>
    model.setWeights(
      model.getWeights().map(({shape, size}, i) => tf.tensor(randomFloats(50 + i, size, 0.5), shape)),
    ),
  );
  return model;
}
