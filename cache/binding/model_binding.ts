import * as tf from '@tensorflow/tfjs';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {type AttentionLayer, isModel} from './attention_layers.js';

/**
 * Whose past a cache holds: which attention layer wrote each depth, and with which weights of the model. Keys and values of other
 * layers, or of the same ones with other weights, have the right shapes and mean nothing.
 */
export class ModelBinding {
  /** By depth; undefined where the cache was made of rows. */
  readonly #layers: readonly (object | undefined)[];
  /** By depth: what brought the first token. */
  readonly #writers: (object | undefined)[];
  /** All variables of the model; none where only rows are known. */
  readonly #variables: readonly tf.LayerVariable[];
  /** The data of each variable when the first token came: tfjs gives a variable new data with each assignment. */
  #weights: readonly object[] = [];

  constructor(model: object, layers: readonly AttentionLayer[]) {
    this.#layers = layers.map(({layer}) => layer);
    this.#writers = [...this.#layers];
    this.#variables = variablesOf(model);
  }

  /**
   * Asked before tokens come to a depth that holds some.
   *
   * @param layer what brings them; undefined where plain code does, which cannot be told apart.
   * @throws InvalidArgumentError where it is not the layer of that depth.
   */
  checkLayer(depth: number, layer: object | undefined): void {
    expectSame(depth, this.#writers[depth], layer);
  }

  /** The same before the first tokens of a depth. Of a cache that was made of rows, whoever comes first is the one. */
  checkFirstLayer(depth: number, layer: object | undefined): void {
    expectSame(depth, this.#layers[depth], layer);
  }

  /** The first tokens of a depth came, of the weights as they are now. */
  bind(depth: number, layer: object | undefined): void {
    this.#writers[depth] = this.#layers[depth] ?? layer;
    this.#weights = this.#currentWeights();
  }

  /**
   * What another cache holds is held from now on.
   * @throws InvalidArgumentError where that is of another model.
   */
  bindAs(other: ModelBinding): void {
    this.#layers.forEach((layer, depth) => expectSame(depth, layer, other.#writers[depth]));
    other.#writers.forEach((layer, depth) => (this.#writers[depth] = layer));
    this.#weights =
      other.#variables.length === this.#variables.length ? other.#weights : this.#currentWeights();
  }

  /** @throws CacheStateError where a weight was assigned since the first token came. */
  checkWeights(): void {
    const changed = this.#variables.find(
      (variable, index) => variable.read().dataId !== this.#weights[index],
    );
    if (changed === undefined) return;
    throw new CacheStateError(
      `The model's weights changed (${changed.name}, and maybe more) since this cache took its tokens in, by fit() or setWeights() ` +
        'perhaps: what it holds is of the former weights. reset() it and take the text in anew.',
    );
  }

  #currentWeights(): object[] {
    return this.#variables.map(variable => variable.read().dataId);
  }
}

function expectSame(depth: number, own: object | undefined, layer: object | undefined): void {
  if (own === undefined || layer === undefined || own === layer) return;
  throw new InvalidArgumentError(
    `This cache is of another model: its depth ${depth} is of that model's layer ${nameOf(own)}, and another layer, ${nameOf(layer)}, ` +
      'came. Each model needs a cache of its own: new KVCache(model).',
  );
}

function variablesOf(model: object): tf.LayerVariable[] {
  if (model instanceof tf.layers.Layer) return model.weights; // a model is one
  return isModel(model) ? model.layers.flatMap(variablesOf) : [];
}

const nameOf = (layer: object) => ('name' in layer ? `"${String(layer.name)}"` : 'without a name');
