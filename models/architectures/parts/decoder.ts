import * as tf from '@tensorflow/tfjs';
import {feedForward} from '../../../layers/feed_forward.js';
import {outputHead} from '../../../layers/output_head.js';
import {positionEmbedding} from '../../../layers/position_embedding.js';
import {rmsNormalization} from '../../../layers/rms_normalization.js';
import {scaling} from '../../../layers/scaling.js';
import {tokenEmbedding} from '../../../layers/token_embedding.js';
import {tokenSelection} from '../../../layers/token_selection.js';
import type {CallArgs} from '../../../layers/layer_args.js';
import {EigenkvError, InvalidArgumentError} from '../../../base/errors.js';
import {readableNumbers} from '../../../ops/host_numbers.js';
import {attentionLayer} from './attention.js';
import {type BuildOptions, matrixArgs} from './build_options.js';
import {layerSteps, runSteps} from './layer_steps.js';
import type {ModelConfig} from './model_config.js';

/** The layers in which decoders differ. */
export interface DecoderParts {
  /** Adds positions to the embedded tokens, in models whose attention does not rotate. */
  readonly positions?: tf.layers.Layer | undefined;
  norm(name: string): tf.layers.Layer;
  /** Adds its second input, if there is one, to its output, as `Attention` does. */
  attention(name: string, depth: number): tf.layers.Layer;
  /** Adds its second input, if there is one, to its output, as `FeedForward` does. */
  feedForward(name: string): tf.layers.Layer;
}

/** The parts that a config names. */
export function decoderParts(config: ModelConfig, options: BuildOptions): DecoderParts {
  const {hiddenDim, activation, gated = true, norm = 'rms', normEpsilon: epsilon, biases} = config;
  const {firstPosition, contextLength: maxPositions} = config;
  const {kernelInitializer} = options;
  return {
    positions:
      firstPosition === undefined
        ? undefined
        : positionEmbedding({name: 'positions', maxPositions, firstPosition, kernelInitializer}),
    norm: name =>
      norm === 'rms' ? rmsNormalization({name, epsilon}) : tf.layers.layerNormalization({name, epsilon}),
    attention: (name, depth) => attentionLayer(config, {name, depth}, options),
    feedForward: name =>
      feedForward({
        ...matrixArgs(options, name, gated ? ['gate', 'up', 'down'] : ['up', 'down']),
        ...{hiddenDim, activation, gated},
        useBias: biases.feedForward,
      }),
  };
}

/**
 * A decoder. By default its blocks normalise before each part (Radford et al., 2019; Xiong et al., 2020, arXiv 2002.04745):
 *
 *     x = E[ids] (+ positions)
 *     x = x + attention(norm(x));  x = x + feedForward(norm(x))        `depths` times
 *     logits = norm(x) W_out,  or norm(x) E^T if embeddings are tied
 *
 * `normPlace`, `parallel` and the scales of the config say what is otherwise: see `ModelConfig`.
 *
 * Input int32 `[batch, tokens]`, output float32 logits `[batch, tokens, vocabSize]`. `model.apply(ids, {cache})` continues
 * the text of a cache; with `lastTokenOnly: true` the logits are `[batch, 1, vocabSize]`.
 */
export function decoder(config: ModelConfig, options: BuildOptions, parts: DecoderParts): tf.LayersModel {
  const {vocabSize, contextLength, dim, depths, tiedEmbeddings, biases} = config;
  const {embeddingNorm = false, embeddingScale = 1, logitScale = 1, logitSoftCap} = config;
  const ids = tf.input({shape: [null], dtype: 'int32', name: 'ids'});
  const embedding = tokenEmbedding({
    ...matrixArgs(options, 'embedding', ['embeddings'], name => name),
    vocabSize,
    dim,
    contextLength,
  });
  let x = scaled(applied(ids, embedding), 'embedding_scaling', embeddingScale);
  if (embeddingNorm) x = applied(x, parts.norm('embedding_norm'));
  if (parts.positions !== undefined) x = applied(x, parts.positions);
  for (let depth = 0; depth < depths; depth++) x = block(x, depth, config, parts);
  const last = applied(applied(x, tokenSelection({name: 'selection'})), parts.norm('final_norm'));
  const head = tiedEmbeddings
    ? embedding
    : outputHead({
        ...matrixArgs(options, 'output', ['kernel'], name => name),
        vocabSize,
        useBias: biases.head ?? false,
      });
  const logits = scaled(applied(last, head), 'logit_scaling', logitScale, logitSoftCap);
  return new Decoder({inputs: ids, outputs: logits, name: 'decoder'});
}

function block(
  x: tf.SymbolicTensor,
  depth: number,
  {normPlace = 'before', parallel, residualScale = 1}: ModelConfig,
  parts: DecoderParts,
): tf.SymbolicTensor {
  const before = (input: tf.SymbolicTensor, part: string) =>
    normPlace === 'after' ? input : applied(input, parts.norm(`${part}_norm_${depth}`));
  const added = (input: tf.SymbolicTensor, sum: tf.SymbolicTensor, part: string, layer: tf.layers.Layer) => {
    if (normPlace === 'before' && residualScale === 1) return applied([input, sum], layer);
    const output = applied(input, layer);
    const normed =
      normPlace === 'before' ? output : applied(output, parts.norm(`${part}_post_norm_${depth}`));
    const term = scaled(normed, `${part}_scaling_${depth}`, residualScale);
    return applied([term, sum], tf.layers.add({name: `${part}_sum_${depth}`}));
  };
  const attended = before(x, 'attention');
  const sum = added(attended, x, 'attention', parts.attention(`attention_${depth}`, depth));
  const fed = parallel === 'sharedNorm' ? attended : before(parallel === undefined ? sum : x, 'feed_forward');
  return added(fed, sum, 'feed_forward', parts.feedForward(`feed_forward_${depth}`));
}

function scaled(x: tf.SymbolicTensor, name: string, factor: number, softCap?: number): tf.SymbolicTensor {
  return factor === 1 && softCap === undefined ? x : applied(x, scaling({name, factor, softCap}));
}

/** The model, which looks at ids that come as floating point numbers before tfjs rounds them: 1.5, NaN or 2^32 would be another token. */
class Decoder extends tf.LayersModel {
  private steps: ReturnType<typeof layerSteps> | undefined;

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs = {}): tf.Tensor | tf.Tensor[] {
    const given = [inputs].flat();
    given.forEach(expectIds);
    const [ids] = given;
    if (ids?.dtype !== 'int32' || kwargs['training'] === true) return super.call(inputs, kwargs);
    this.steps ??= layerSteps(this);
    const {steps} = this;
    return tf.tidy(() => runSteps(steps, ids, kwargs));
  }

  override predict(
    x: tf.Tensor | tf.Tensor[],
    options?: {batchSize?: number; verbose?: boolean},
  ): tf.Tensor | tf.Tensor[] {
    [x].flat().forEach(expectIds);
    return super.predict(x, options);
  }
}

function expectIds(ids: tf.Tensor): void {
  const numbers = ids.dtype === 'float32' ? readableNumbers(ids) : undefined;
  const wrong = numbers?.find(id => !Number.isInteger(id) || Math.abs(id) >= 2 ** 31); // int32 has no others
  if (wrong === undefined) return;
  throw new InvalidArgumentError(`${wrong} is no id of a token; give whole numbers, as an int32 tensor.`);
}

/** The symbolic output of a layer applied to the outputs of others. */
function applied(inputs: tf.SymbolicTensor | tf.SymbolicTensor[], layer: tf.layers.Layer): tf.SymbolicTensor {
  const output = layer.apply(inputs);
  if (output instanceof tf.SymbolicTensor) return output;
  throw new EigenkvError(`Layer "${layer.name}" has no single output.`);
}
