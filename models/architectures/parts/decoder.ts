import * as tf from '@tensorflow/tfjs';
import {outputHead} from '../../../layers/output_head.js';
import {tokenEmbedding} from '../../../layers/token_embedding.js';
import {tokenSelection} from '../../../layers/token_selection.js';
import type {CallArgs} from '../../../layers/layer_args.js';
import {EigenkvError, InvalidArgumentError} from '../../../base/errors.js';
import {readableNumbers} from '../../../ops/host_numbers.js';
import {type BuildOptions, matrixArgs} from './build_options.js';
import type {ModelConfig} from './model_config.js';

/** The layers in which decoders differ. */
export interface DecoderParts {
  /** Adds positions to the embedded tokens, in models whose attention does not rotate. */
  readonly positions?: tf.layers.Layer;
  norm(name: string): tf.layers.Layer;
  /** Adds its second input to its output, as `Attention` does. */
  attention(name: string, depth: number): tf.layers.Layer;
  /** Adds its second input to its output, as `FeedForward` does. */
  feedForward(name: string): tf.layers.Layer;
}

/**
 * A decoder of blocks that normalise before each part (Radford et al., 2019; Xiong et al., 2020, arXiv 2002.04745):
 *
 *     x = E[ids] (+ positions)
 *     x = x + attention(norm(x));  x = x + feedForward(norm(x))        `depths` times
 *     logits = norm(x) W_out,  or norm(x) E^T if embeddings are tied
 *
 * Input int32 `[batch, tokens]`, output float32 logits `[batch, tokens, vocabSize]`. `model.apply(ids, {cache})` continues
 * the text of a cache; with `lastTokenOnly: true` the logits are `[batch, 1, vocabSize]`.
 */
export function decoder(
  {vocabSize, contextLength, dim, depths, tiedEmbeddings}: ModelConfig,
  options: BuildOptions,
  parts: DecoderParts,
): tf.LayersModel {
  const ids = tf.input({shape: [null], dtype: 'int32', name: 'ids'});
  const embedding = tokenEmbedding({
    ...matrixArgs(options, 'embedding', ['embeddings'], name => name),
    vocabSize,
    dim,
    contextLength,
  });
  let x = applied(ids, embedding);
  if (parts.positions !== undefined) x = applied(x, parts.positions);
  for (let depth = 0; depth < depths; depth++) {
    const attended = applied(x, parts.norm(`attention_norm_${depth}`));
    x = applied([attended, x], parts.attention(`attention_${depth}`, depth));
    const fed = applied(x, parts.norm(`feed_forward_norm_${depth}`));
    x = applied([fed, x], parts.feedForward(`feed_forward_${depth}`));
  }
  const last = applied(applied(x, tokenSelection({name: 'selection'})), parts.norm('final_norm'));
  const head = tiedEmbeddings
    ? embedding
    : outputHead({...matrixArgs(options, 'output', ['kernel'], name => name), vocabSize});
  return new Decoder({inputs: ids, outputs: applied(last, head), name: 'decoder'});
}

/** The model, which looks at ids that come as floating point numbers before tfjs rounds them: 1.5, NaN or 2^32 would be another token. */
class Decoder extends tf.LayersModel {
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs): tf.Tensor | tf.Tensor[] {
    [inputs].flat().forEach(expectIds);
    return super.call(inputs, kwargs);
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
