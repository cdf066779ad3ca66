import type * as tf from '@tensorflow/tfjs';
import {EigenkvError} from '../../base/errors.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';

/** A tensor of a file beside the variables that it fills. */
export interface FilledVariables {
  readonly stored: StoredWeight;
  readonly variables: readonly tf.LayerVariable[];
  /** The last axis of each variable. */
  readonly columns: readonly number[];
}

/**
 * The variables of a model beside the tensors that fill them.
 * @throws EigenkvError if an architecture's table and its layers do not name the same variables.
 */
export function filledVariables(model: tf.LayersModel, weights: readonly StoredWeight[]): FilledVariables[] {
  const byName = new Map(model.weights.map(variable => [variable.originalName, variable]));
  const filled = weights.map(stored => {
    const variables = stored.variables.map(name => {
      const variable = byName.get(name);
      if (variable === undefined) throw new EigenkvError(`The model has no variable "${name}".`);
      byName.delete(name);
      return variable;
    });
    return {stored, variables, columns: variables.map(({shape}) => shape.at(-1)!)};
  });
  if (byName.size > 0) {
    throw new EigenkvError(`No tensor fills the variables ${[...byName.keys()].join(', ')}.`);
  }
  return filled;
}
