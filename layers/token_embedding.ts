import * as tf from '@tensorflow/tfjs';
import {ContextLengthError, InvalidArgumentError} from '../base/errors.js';
import {embed} from '../ops/embed/index.js';
import {lmHead} from '../ops/lm_head/index.js';
import type {PackedMatrix} from '../ops/weights/matrix.js';
import {
  type CallArgs,
  type KernelInitializer,
  type LayerArgs,
  configOf,
  firstShape,
  onlyTensor,
  positive,
} from './layer_args.js';
import {type MatrixArgs, MatrixLayer} from './matrix_layer.js';

export interface TokenEmbeddingArgs extends LayerArgs, MatrixArgs<'embeddings'> {
  /** Number of tokens in the vocabulary, at least 1: ids are below it. Required. */
  vocabSize: number;
  /** Numbers per token, at least 1: the model's dim. Required. */
  dim: number;
  /** The most tokens of a text, those in a cache included, at least 1. Default: no limit. */
  contextLength?: number;
  /** How matrices start: `'glorotUniform'` to train, `'zeros'` if weights are set right after. Default `'glorotUniform'`. */
  kernelInitializer?: KernelInitializer;
}

/**
 * The token embedding E `[vocabSize, dim]`, which input and output can share (Press and Wolf, 2017, arXiv 1608.05859): int32 ids
 * `[batch, tokens]` give rows of E, `[batch, tokens, dim]`; float32 hidden states `[batch, tokens, dim]` give logits x E^T,
 * `[batch, tokens, vocabSize]`. Apply one instance at both ends to tie them.
 *
 * As the first layer of a model it refuses texts that are too long before anything is computed: tokens beyond `contextLength`,
 * counted from the start of the cache's text, are a ContextLengthError (unless the cache was made with `beyondContext`). An id
 * outside the vocabulary is an InvalidArgumentError.
 */
export class TokenEmbedding extends MatrixLayer<'embeddings'> {
  /** @nocollapse */
  static readonly className = 'EigenkvTokenEmbedding';
  private readonly config: Omit<TokenEmbeddingArgs, keyof LayerArgs | keyof MatrixArgs<'embeddings'>> &
    Required<Pick<TokenEmbeddingArgs, 'kernelInitializer'>>;

  constructor(args: TokenEmbeddingArgs) {
    super(args, ['embeddings']);
    const {vocabSize, dim, contextLength, kernelInitializer = 'glorotUniform'} = args;
    positive(vocabSize, 'vocabSize', this.name);
    positive(dim, 'dim', this.name);
    if (contextLength !== undefined) positive(contextLength, 'contextLength', this.name);
    this.config = {vocabSize, dim, contextLength, kernelInitializer};
  }

  /** Size of the vocabulary: ids are below it. */
  get vocabSize(): number {
    return this.config.vocabSize;
  }

  override build(inputShape: tf.Shape | tf.Shape[]): void {
    const {vocabSize, dim, kernelInitializer} = this.config;
    this.addMatrix('embeddings', {
      inputs: dim,
      outputs: vocabSize,
      kernelInitializer,
      variable: 'embeddings',
      isTable: true,
    });
    super.build(inputShape);
  }

  /** tfjs counts each application as a use, but a model releases only one. A layer applied at both ends would never be freed. */
  override apply(
    inputs: tf.Tensor | tf.Tensor[] | tf.SymbolicTensor | tf.SymbolicTensor[],
    kwargs?: CallArgs,
  ): tf.Tensor | tf.Tensor[] | tf.SymbolicTensor | tf.SymbolicTensor[] {
    const usesBefore = this._refCount ?? 0;
    const output = super.apply(inputs, kwargs);
    if (inputs instanceof tf.SymbolicTensor && inputs.rank === 3 && usesBefore > 0) {
      this._refCount = usesBefore;
    }
    return output;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor {
    return tf.tidy(() => {
      const x = onlyTensor(inputs, this.name);
      if (x.rank === 2 && kwargs.cache?.beyondContext !== true) {
        this.checkLength(x.shape[1]!, kwargs.cache?.tokens ?? 0);
      }
      const table = this.matrix('embeddings') as tf.Tensor2D | PackedMatrix;
      const {dim} = this.config;
      if (x.rank !== 2 && (x.rank < 3 || x.shape.at(-1) !== dim)) {
        throw new InvalidArgumentError(
          `Layer "${this.name}" got [${x.shape.join(', ')}]; expected ids [batch, tokens], or hidden states [batch, tokens, ${dim}].`,
        );
      }
      if (x.rank === 2) return embed(x as tf.Tensor2D, table);
      return lmHead(x, table, {activations: this.activations});
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    const shape = firstShape(inputShape);
    const {dim, vocabSize} = this.config;
    return shape.length === 2 ? [...shape, dim] : [...shape.slice(0, -1), vocabSize];
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...configOf(this.config)};
  }

  private checkLength(tokens: number, cached: number): void {
    const {contextLength = Infinity} = this.config;
    if (cached + tokens <= contextLength) return;
    const given = cached === 0 ? `${tokens} tokens` : `${tokens} tokens after the ${cached} in the cache`;
    throw new ContextLengthError(
      `The model's context is ${contextLength} tokens; ${given} were given. Shorten the text or start a new cache.`,
    );
  }
}

tf.serialization.registerClass(TokenEmbedding);

/** A token embedding, for input and output; see `TokenEmbedding`. */
export function tokenEmbedding(args: TokenEmbeddingArgs): TokenEmbedding {
  return new TokenEmbedding(args);
}
