import type * as tf from '@tensorflow/tfjs';
import {EigenkvError} from '../../ops/errors.js';
import type {StoredWeight} from '../architecture.js';

/** The variables of a model that one tensor of a file fills, outputs last, in the file's order. */
export interface FilledVariables {
  readonly stored: StoredWeight;
  readonly variables: readonly tf.LayerVariable[];
  /** Rows and columns of the variables side by side; a vector is one row. */
  readonly rows: number;
  readonly columns: readonly number[];
  /** What the tensor's shape in the file must be. */
  readonly shape: readonly number[];
}

/**
 * The variables of a model beside the tensors that fill them.
 * @throws EigenkvError where an architecture's table and its layers do not name the same variables.
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
    const columns = variables.map(({shape}) => shape.at(-1)!);
    const outputs = columns.reduce((sum, count) => sum + count, 0);
    const isVector = variables[0]!.shape.length === 1;
    const rows = isVector ? 1 : variables[0]!.shape[0]!;
    const shape = isVector ? [outputs] : stored.transposed ? [outputs, rows] : [rows, outputs];
    return {stored, variables, rows, columns, shape};
  });
  if (byName.size > 0)
    throw new EigenkvError(`No tensor fills the variables ${[...byName.keys()].join(', ')}.`);
  return filled;
}
