import * as tf from '@tensorflow/tfjs';
import {toHeads} from '../heads.js';
import type {Projected} from '../self_attention.js';
import type {KerasAttentionOptions, KerasWeightParts} from './attention_args.js';

/** The projections of an attention layer of Keras. */
export type KerasSide = 'query' | 'key' | 'gate' | 'value' | 'attention_output';

/** Heads, and numbers per head. */
export interface KerasSizes {
  readonly heads: number;
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** Numbers per token that come out. Default: as the query has. */
  readonly outputDim?: number;
}

/** Adds a weight to a layer, whose own method is protected. */
export type AddWeight = (name: string, shape: number[], parts: KerasWeightParts) => tf.LayerVariable;

/** Numbers per token of what goes in. */
export type InputDims = Readonly<Record<'query' | 'value' | 'key', number>>;

interface SideVariables {
  readonly kernel: tf.LayerVariable;
  readonly bias: tf.LayerVariable | undefined;
}

/** The weights of an attention layer, named and shaped as Keras does, and products with them. */
export class KerasProjections {
  private readonly variables: Partial<Record<KerasSide, SideVariables>> = {};

  constructor(
    private readonly options: KerasAttentionOptions,
    private readonly sizes: KerasSizes,
  ) {}

  /** Adds all weights to a layer, in the order of Keras. */
  addTo(addWeight: AddWeight, {query, value, key}: InputDims): void {
    const {heads, kvHeads, keyDim, valueDim, outputDim = query} = this.sizes;
    this.add(addWeight, 'query', [query, heads, keyDim]);
    this.add(addWeight, 'key', [key, kvHeads, keyDim]);
    if (this.options.useGate) this.add(addWeight, 'gate', [query, heads, valueDim]);
    this.add(addWeight, 'value', [value, kvHeads, valueDim]);
    this.add(addWeight, 'attention_output', [heads, valueDim, outputDim]);
  }

  queries(query: tf.Tensor): tf.Tensor4D {
    return this.heads(query, 'query')[0]!;
  }

  keysAndValues(key: tf.Tensor, value: tf.Tensor): Pick<Projected, 'keys' | 'values'> {
    const [keys, values] =
      key === value
        ? this.heads(value, 'key', 'value')
        : [...this.heads(key, 'key'), ...this.heads(value, 'value')];
    return {keys: keys!, values: values!};
  }

  /** Attention times the gate of its query, if there is one. */
  gated(attended: tf.Tensor4D, query: tf.Tensor): tf.Tensor4D {
    return this.options.useGate ? tf.mul(attended, tf.sigmoid(this.heads(query, 'gate')[0]!)) : attended;
  }

  /** In two axes, in which tfjs multiplies fast. */
  of(side: KerasSide): {matrix: tf.Tensor; bias: tf.Tensor | undefined} {
    const {kernel, bias} = this.variables[side]!;
    const [first, second, third] = kernel.shape as [number, number, number];
    const isOutput = side === 'attention_output';
    return {
      matrix: tf.reshape(kernel.read(), isOutput ? [first * second, third] : [first, second * third]),
      bias: bias && tf.reshape(bias.read(), [-1]),
    };
  }

  private heads(x: tf.Tensor, ...sides: readonly Exclude<KerasSide, 'attention_output'>[]): tf.Tensor4D[] {
    const {heads, kvHeads} = this.sizes;
    const countOf = (side: KerasSide) => (side === 'key' || side === 'value' ? kvHeads : heads);
    return toHeads(
      x,
      sides.map(side => ({...this.of(side), heads: countOf(side)})),
    );
  }

  private add(addWeight: AddWeight, side: KerasSide, shape: [number, number, number]): void {
    const {kernel, bias, useBias} = this.options;
    const ofBias = side === 'attention_output' ? shape.slice(2) : shape.slice(1);
    this.variables[side] = {
      kernel: addWeight(`${side}/kernel`, shape, kernel),
      bias: useBias ? addWeight(`${side}/bias`, ofBias, bias) : undefined,
    };
  }
}
