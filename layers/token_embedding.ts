import * as tf from '@tensorflow/tfjs';
import {embed} from '../ops/embed/index.js';
import {unembed} from '../ops/unembed/index.js';
import {
  type KernelInitializer,
  type LayerArgs,
  configOf,
  initializerOf,
  onlyShape,
  onlyTensor,
  positive,
} from './layer_args.js';

export interface TokenEmbeddingArgs extends LayerArgs {
  vocabSize: number;
  /** The model's dim. */
  dim: number;
  /** Default 'glorotUniform'. */
  kernelInitializer?: KernelInitializer;
}

/**
 * The token embedding E `[vocabSize, dim]`, both ways, so that input and output can share it (Press and Wolf, 2017,
 * arXiv 1608.05859): ids int32 `[batch, tokens]` give rows of E, `[batch, tokens, dim]`; hidden states float32
 * `[batch, tokens, dim]` give logits x E^T, `[batch, tokens, vocabSize]`. Apply one instance at both ends to tie them.
 */
export class TokenEmbedding extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvTokenEmbedding';
  private readonly config: Required<Omit<TokenEmbeddingArgs, keyof LayerArgs>>;
  private table: tf.LayerVariable | undefined;

  constructor(args: TokenEmbeddingArgs) {
    super(args);
    const {vocabSize, dim, kernelInitializer = 'glorotUniform'} = args;
    positive(vocabSize, 'vocabSize', this.name);
    positive(dim, 'dim', this.name);
    this.config = {vocabSize, dim, kernelInitializer};
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const {vocabSize, dim, kernelInitializer} = this.config;
    this.table = this.addWeight('embeddings', [vocabSize, dim], 'float32', initializerOf(kernelInitializer));
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = onlyTensor(inputs, this.name);
      const table = this.table!.read() as tf.Tensor2D;
      const {dim, vocabSize} = this.config;
      if (x.rank === 2) return embed(x as tf.Tensor2D, table);
      const logits = unembed(tf.reshape(x, [-1, dim]), table);
      return tf.reshape(logits, [...x.shape.slice(0, -1), vocabSize]);
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    const shape = onlyShape(inputShape);
    const {dim, vocabSize} = this.config;
    return shape.length === 2 ? [...shape, dim] : [...shape.slice(0, -1), vocabSize];
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.config)};
  }
}

tf.serialization.registerClass(TokenEmbedding);

/** The token embedding, both ways; see `TokenEmbedding`. */
export function tokenEmbedding(args: TokenEmbeddingArgs): TokenEmbedding {
  return new TokenEmbedding(args);
}
