import {numbersOf} from '../../ops/weights/packed_variables.js';
import {joinColumns, outputOrder, selectRows, transpose} from './layouts.js';
import type {FilledVariables} from './model_variables.js';

/** The numbers of a tensor as its file has them: the reverse of `fillWeights`. */
export async function fileValues({stored, variables, columns}: FilledVariables): Promise<Float32Array> {
  const numbers = await Promise.all(variables.map(numbersOf));
  const joined = joinColumns(numbers.map((values, i) => ({values, columns: columns[i]!})));
  const {shape, transposed, added = 0} = stored;
  const [outputs = 1, inputs = 1] = shape;
  const rows = transposed && shape.length === 2 ? transpose(joined, inputs, outputs) : joined;
  const order = outputOrder(stored, columns);
  const ordered = order === undefined ? rows : selectRows(rows, outputs, order);
  return added === 0 ? ordered : ordered.map(number => number - added);
}
