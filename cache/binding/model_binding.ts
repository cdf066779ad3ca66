import * as tf from '@tensorflow/tfjs';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {type AttentionLayer, isModel} from './attention_layers.js';

/**
 * Binds a cache to the attention layers that write its depths, and to the weights of the model. Keys and values of other layers, or of
 * the same layers with other weights, would have fitting shapes but wrong contents.
 */
export class ModelBinding {
  /** By depth; undefined if the cache was made from layer shapes. */
  readonly #layers: readonly (object | undefined)[];
  /** By depth: the layer that wrote the first token. */
  readonly #writers: (object | undefined)[];
  /** All variables of the model; empty if only layer shapes are known. */
  readonly #variables: readonly tf.LayerVariable[];
  /** The dataId of each variable at the first token. Each assignment gives a tfjs variable a new one. */
  #weights: readonly object[] = [];

  constructor(model: object, layers: readonly AttentionLayer[]) {
    this.#layers = layers.map(({layer}) => layer);
    this.#writers = [...this.#layers];
    this.#variables = variablesOf(model);
  }

  /**
   * Checks the layer that appends tokens to a depth which holds some.
   *
   * @param layer undefined if plain code calls the cache; this is not checked.
   * @throws InvalidArgumentError if it is not the layer that wrote that depth.
   */
  checkLayer(depth: number, layer: object | undefined): void {
    expectSame(depth, this.#writers[depth], layer);
  }

  /**
   * Checks the layer that writes the first tokens of a depth. A cache made from layer shapes accepts any.
   * @throws InvalidArgumentError if it is not the layer of that depth.
   */
  checkFirstLayer(depth: number, layer: object | undefined): void {
    expectSame(depth, this.#layers[depth], layer);
  }

  /** The layer that writes a depth; undefined if none is known. */
  writer(depth: number): object | undefined {
    return this.#writers[depth];
  }

  /** Records the layer and the current weights when the first tokens of a depth are written. */
  bind(depth: number, layer: object | undefined): void {
    this.#writers[depth] = this.#layers[depth] ?? layer;
    this.#weights = this.#currentWeights();
  }

  /**
   * Takes over the binding of another cache.
   * @throws InvalidArgumentError if that is of another model.
   */
  bindAs(other: ModelBinding): void {
    this.#layers.forEach((layer, depth) => expectSame(depth, layer, other.#writers[depth]));
    other.#writers.forEach((layer, depth) => (this.#writers[depth] = layer));
    this.#weights =
      other.#variables.length === this.#variables.length ? other.#weights : this.#currentWeights();
  }

  /** @throws CacheStateError if a weight was assigned since the first token. */
  checkWeights(): void {
    const changed = this.#variables.find(
      (variable, index) => variable.read().dataId !== this.#weights[index],
    );
    if (changed === undefined) return;
    throw new CacheStateError(
      `The model's weights changed (${changed.name}, and maybe others) since the first token of this cache, perhaps by fit() or ` +
        'setWeights(): its tokens were computed with the former weights. reset() it and compute the text again.',
    );
  }

  #currentWeights(): object[] {
    return this.#variables.map(variable => variable.read().dataId);
  }
}

function expectSame(depth: number, own: object | undefined, layer: object | undefined): void {
  if (own === undefined || layer === undefined || own === layer) return;
  throw new InvalidArgumentError(
    `This cache is of another model: its depth ${depth} belongs to that model's layer ${nameOf(own)}, but another layer, ` +
      `${nameOf(layer)}, calls it. Each model needs its own cache: new KVCache(model).`,
  );
}

function variablesOf(model: object): tf.LayerVariable[] {
  if (model instanceof tf.layers.Layer) return model.weights; // a model is one
  return isModel(model) ? model.layers.flatMap(variablesOf) : [];
}

const nameOf = (layer: object) => ('name' in layer ? `"${String(layer.name)}"` : 'without a name');
