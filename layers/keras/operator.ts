import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {checkOptions} from '../../base/options.js';
import {type LayerArgs, configOf} from '../layer_args.js';

const operations = {add: tf.add, subtract: tf.sub, multiply: tf.mul, divide: tf.div, power: tf.pow};
export type Operation = keyof typeof operations;

export interface OperatorArgs extends LayerArgs {
  /** Required. */
  operation: Operation;
  /** The two operands: a number, or null for an input. Default: two inputs. */
  operands?: readonly (number | null)[];
}

const names = Object.keys(operations) as Operation[];
const pair = 'expected two of numbers and null, at least one null';
const schema = v.strictObject({
  operation: v.picklist(names, `expected one of ${names.join(', ')}`),
  operands: v.optional(
    v.pipe(
      v.array(v.nullable(v.number(pair)), pair),
      v.check(given => given.length === 2 && given.includes(null), pair),
    ),
    [null, null],
  ),
});

/**
 * `x + y`, `3 * x` and the like between tensors of a graph, as Keras saves them when code uses operators: of inputs that are broadcast, and
 * constants. Other than sums by `Add`, they pass no padding mask on.
 */
export class Operator extends tf.layers.Layer {
  /** @nocollapse */
  static readonly className = 'EigenkvOperator';
  private readonly operation: Operation;
  private readonly operands: readonly (number | null)[];

  constructor({operation, operands, ...args}: OperatorArgs) {
    super(args);
    const checked = checkOptions(this.name, schema, {operation, ...(operands && {operands})});
    this.operation = checked.operation;
    this.operands = checked.operands;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const waiting = [inputs].flat();
      const expected = this.operands.filter(operand => operand === null).length;
      if (waiting.length !== expected) {
        throw new InvalidArgumentError(
          `Layer "${this.name}" got ${waiting.length} inputs; it takes ${expected}.`,
        );
      }
      const {dtype} = waiting[0]!;
      const [first, second] = this.operands.map(operand =>
        operand === null
          ? waiting.shift()!
          : tf.scalar(operand, Number.isInteger(operand) ? dtype : 'float32'),
      );
      return operations[this.operation](first!, second!);
    });
  }

  override computeOutputShape(inputShape: tf.Shape | tf.Shape[]): tf.Shape {
    const shapes = (Array.isArray(inputShape[0]) ? inputShape : [inputShape]) as tf.Shape[];
    return shapes.reduce(broadcast);
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {operation, operands} = this;
    return {...super.getConfig(), ...configOf({operation, operands})};
  }
}

/** The longer of two shapes, with the size that is not 1 on each axis. */
function broadcast(a: tf.Shape, b: tf.Shape): tf.Shape {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a];
  return long.map((size, i) => {
    const other = short[i - (long.length - short.length)];
    return size === 1 && other !== undefined ? other : size;
  });
}

tf.serialization.registerClass(Operator);

/** An operation between tensors of a graph; see `Operator`. */
export function operator(args: OperatorArgs): Operator {
  return new Operator(args);
}
