import type * as tf from '@tensorflow/tfjs';
import type {CallArgs} from '../../../layers/layer_args.js';

/** One layer of a model at one place of its graph. Values are numbered: the model's input is 0, and step i gives value i + 1. */
interface LayerStep {
  readonly layer: tf.layers.Layer;
  readonly inputs: readonly number[];
  /** Values that no later step reads. */
  readonly spent: readonly number[];
}

/** The layers of a model with one input and one output, in an order in which they can run. */
export function layerSteps({inputs: [input], outputs: [output]}: tf.LayersModel): readonly LayerStep[] {
  const numbers = new Map<tf.SymbolicTensor, number>([[input!, 0]]);
  const steps: {layer: tf.layers.Layer; inputs: number[]}[] = [];
  const visit = (tensor: tf.SymbolicTensor): number => {
    const known = numbers.get(tensor);
    if (known !== undefined) return known;
    const inputs = tensor.inputs.map(visit);
    const number = steps.push({layer: tensor.sourceLayer, inputs});
    numbers.set(tensor, number);
    return number;
  };
  visit(output!);
  const last = new Map(steps.flatMap(({inputs}, step) => inputs.map(value => [value, step])));
  return steps.map(({layer, inputs}, step) => ({
    ...{layer, inputs},
    spent: [...new Set(inputs)].filter(value => value !== 0 && last.get(value) === step),
  }));
}

/**
 * Runs a model's layers as tfjs' `execute` does where nothing trains and nothing is masked. That one asks for the order of the layers, their inputs and who
 * is the last to read each, by texts and for every call: an eighth of the JavaScript of a token. Inside the caller's tidy.
 *
 * @returns the output of the last layer; what other layers gave is disposed of.
 */
export function runSteps(steps: readonly LayerStep[], input: tf.Tensor, kwargs: CallArgs): tf.Tensor {
  const values = [input];
  for (const {layer, inputs, spent} of steps) {
    const given = inputs.map(value => values[value]!);
    values.push(layer.apply(given.length === 1 ? given[0]! : given, kwargs) as tf.Tensor);
    for (const value of spent) values[value]!.dispose();
  }
  return values.at(-1)!;
}
