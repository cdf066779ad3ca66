import type * as tf from '@tensorflow/tfjs';
import {expectList} from '../cache/sharing/id_list.js';
import {TokenEmbedding} from '../layers/token_embedding.js';
import {InvalidArgumentError} from '../base/errors.js';

/**
 * Checks ids before they become a tensor, because tfjs rounds, wraps or drops numbers that are not ids.
 *
 * @throws InvalidArgumentError if one is not a whole number below the size of the model's vocabulary.
 */
export function checkIds(ids: readonly number[], model: tf.LayersModel): void {
  expectList(ids, 'ids');
  const size = vocabSizeOf(model);
  for (let at = 0; at < ids.length; at++) {
    const id = ids[at]!;
    if (Number.isInteger(id) && id >= 0 && id < size) continue;
    throw new InvalidArgumentError(
      `ids[${at}] = ${String(id)}; expected a whole number from 0 to ${size - 1}: this model's vocabulary has ${size} tokens.`,
    );
  }
}

/** The number of ids that a model knows: the size of its embedding or, for models of other packages, of its logits. */
function vocabSizeOf(model: tf.LayersModel): number {
  const embedding = model.layers.find(layer => layer instanceof TokenEmbedding);
  return embedding?.vocabSize ?? model.outputs[0]?.shape.at(-1) ?? 2 ** 31;
}
