import type {Operation} from '../../layers/keras/operator.js';
import {Operator} from '../../layers/keras/operator.js';
import {ModelError} from '../../base/errors.js';
import {type CallNode, isTensor, nameOf} from './call_nodes.js';
import {type JsonObject, isObject, textOf} from './json.js';

/** Operators of Keras 3 by class, and of Keras 2 by function. */
const operations: Readonly<Record<string, Operation>> = {
  ...{
    Add: 'add',
    Subtract: 'subtract',
    Multiply: 'multiply',
    TrueDivide: 'divide',
    Divide: 'divide',
    Power: 'power',
  },
  ...{
    '__operators__.add': 'add',
    'math.add': 'add',
    'math.subtract': 'subtract',
    'math.multiply': 'multiply',
  },
  ...{'math.truediv': 'divide', 'math.divide': 'divide', 'math.pow': 'power'},
};
const negatives = ['Negative', 'math.negative'];

/**
 * The layer that computes an operator between tensors; undefined if this is no operator. Those of Keras 3 have the names of layers, and
 * configs of a name alone.
 */
export function operatorOf(layer: JsonObject, nodes: readonly CallNode[]): JsonObject | undefined {
  const config = isObject(layer['config']) ? layer['config'] : {};
  const className = textOf(layer, 'class_name') ?? '';
  const isKeras2 = className === 'TFOpLambda';
  if (!isKeras2 && Object.keys(config).some(key => key !== 'name')) return undefined;
  const named = isKeras2 ? (textOf(config, 'function') ?? '') : className;
  const isNegative = negatives.includes(named);
  const operation = isNegative ? 'multiply' : operations[named];
  const [node, ...others] = nodes;
  if (node === undefined || operation === undefined) return undefined;
  const operands = [...node.positional, ...['y', 'x2'].flatMap(name => node.named.get(name) ?? [])].map(
    argument => (isTensor(argument) ? null : argument.constant),
  );
  if (isNegative) operands.push(-1);
  const isKnown = operands.every(operand => operand === null || typeof operand === 'number');
  if (others.length > 0 || operands.length !== 2 || !isKnown || !operands.includes(null)) {
    throw new ModelError(
      `The operator ${nameOf(layer)} has operands that are neither tensors nor numbers. Use a layer in its place.`,
    );
  }
  const name = textOf(layer, 'name') ?? textOf(config, 'name') ?? named;
  return {class_name: Operator.className, config: {name, operation, operands}};
}
