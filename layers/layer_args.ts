import type {AttentionCache} from '../cache/attention_cache.js';
import type {SourceCache} from '../cache/source_cache.js';
import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../base/errors.js';

/** What every tf.layers.Layer takes (tfjs does not export its name), but for `weights`, which says how a layer stores its own here. */
export type LayerArgs = Omit<NonNullable<ConstructorParameters<typeof tf.layers.Layer>[0]>, 'weights'>;

/** Keyword arguments of `model.apply(x, kwargs)`; the same object reaches every layer. */
export interface CallArgs {
  /** The cache whose tokens are attended to, and that the given tokens are added to. Default: none. */
  readonly cache?: AttentionCache;
  /** Keys and values that cross attention computes once: see `SourceCache`. Default: they are computed in each step. */
  readonly source?: SourceCache;
  /** Compute the logits of the last token only. Default false. */
  readonly lastTokenOnly?: boolean;
  /** A padding mask, which tfjs passes after an embedding with `maskZero`. Attention refuses it. Default: none. */
  readonly mask?: unknown;
  readonly [name: string]: unknown;
}

/** The only tensor among a layer's inputs. */
export function onlyTensor(inputs: tf.Tensor | tf.Tensor[], layer: string): tf.Tensor {
  const tensors = Array.isArray(inputs) ? inputs : [inputs];
  const [tensor] = tensors;
  if (tensor === undefined || tensors.length !== 1) {
    throw new InvalidArgumentError(`Layer "${layer}" got ${tensors.length} inputs; it takes one tensor.`);
  }
  return tensor;
}

/**
 * A layer's input, and what is added to its output: a second tensor of the input's shape, if there is one.
 * @throws InvalidArgumentError if there are more tensors, or their shapes differ.
 */
export function inputAndResidual(
  inputs: tf.Tensor | tf.Tensor[],
  layer: string,
): {x: tf.Tensor; residual: tf.Tensor | undefined} {
  const tensors = Array.isArray(inputs) ? inputs : [inputs];
  const [x, residual] = tensors;
  if (x === undefined || tensors.length > 2) {
    throw new InvalidArgumentError(
      `Layer "${layer}" got ${tensors.length} inputs; it takes one tensor, and a second one that is added to the output.`,
    );
  }
  if (residual !== undefined && residual.shape.join() !== x.shape.join()) {
    throw new InvalidArgumentError(
      `Layer "${layer}" got [${x.shape.join(', ')}] and [${residual.shape.join(', ')}]; the second input is added to the ` +
        'output, so its shape must be that of the first.',
    );
  }
  return {x, residual};
}

/**
 * tfjs silently drops a keyword that no layer reads, and callers have many names for a mask of tokens (`attention_mask`,
 * `attnMask`, `keyPaddingMask`).
 *
 * @throws InvalidArgumentError if one is given: no attention here can leave tokens out.
 */
export function refuseMask(kwargs: CallArgs, layer: string): void {
  const name = Object.keys(kwargs).find(key => /mask/i.test(key) && Boolean(kwargs[key]));
  if (name === undefined) return;
  throw new InvalidArgumentError(
    `Layer "${layer}" got a padding mask (${name}; an embedding with maskZero makes one), and attention here is causal over all tokens: padding ` +
      'would be attended to. Give texts one at a time or of equal length, without maskZero; or pad on the right, which no token of ' +
      'the text attends to, and read the outputs of the text only.',
  );
}

/** The shape of a layer's input, the first among its input shapes. */
export function firstShape(shape: tf.Shape | tf.Shape[]): tf.Shape {
  return Array.isArray(shape[0]) ? shape[0] : (shape as tf.Shape);
}

/** The last axis, which must be known when weights are built. */
export function knownDim(shape: tf.Shape, layer: string): number {
  const dim = shape.at(-1);
  if (typeof dim === 'number') return dim;
  throw new InvalidArgumentError(
    `Layer "${layer}" got the shape [${shape.join(', ')}]; its last axis must be a known number.`,
  );
}

/** @throws InvalidArgumentError unless the value is a whole number >= 1. */
export function positive(value: number, option: string, layer: string): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError(`${layer}: ${option} = ${value}; expected a whole number >= 1.`);
}

/** How a layer's matrices start: by Glorot's rule, or as zeros, which is fast if weights are set right after. */
export type KernelInitializer = 'glorotUniform' | 'zeros';

/** tfjs does not export its name. */
export type Initializer = ReturnType<typeof tf.initializers.glorotUniform>;

export function initializerOf(name: KernelInitializer): Initializer {
  return name === 'zeros' ? zeros : tf.initializers.glorotUniform({});
}

/** Zeros without the array of equal size that tfjs' own initializer makes: `fill` writes them where the tensor is. */
const zeros = Object.assign(tf.initializers.zeros(), {
  apply: (shape: tf.Shape, dtype?: tf.DataType) =>
    tf.fill(shape as number[], 0, dtype as 'float32' | 'int32'),
});

/** A layer's options for its saved config: plain JSON, without keys that are undefined. */
export function configOf(options: object): tf.serialization.ConfigDict {
  return JSON.parse(JSON.stringify(options)) as tf.serialization.ConfigDict;
}
