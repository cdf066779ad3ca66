import * as tf from '@tensorflow/tfjs';
import {FormatError, ModelError, shown} from '../../base/errors.js';
import type {JsonObject} from './json.js';
import {isModelClass, layerName, layersOf} from './topology.js';

/**
 * Sets all weights of a model from those of a file. Names are those of tfjs, `layer/weight`; Keras puts the names of models that a layer is in
 * before them, or not.
 *
 * @param config the model's config, which says what is inside what.
 * @throws ModelError if the file and the model do not have the same weights; FormatError if the file is too short.
 */
export function setKerasWeights(
  model: tf.LayersModel,
  config: JsonObject,
  specs: readonly tf.io.WeightsManifestEntry[],
  data: tf.io.WeightData,
): void {
  const ofModel = specs.filter(({group}) => group !== 'optimizer');
  const variables = new Map(model.weights.map(variable => [nameIn(config, variable.originalName), variable]));
  const named = new Map(ofModel.map(spec => [nameIn(config, spec.name), spec]));
  const lacking = [...variables.keys()].filter(name => !named.has(name));
  const strange = [...named.keys()].filter(name => !variables.has(name));
  if (lacking.length > 0 || strange.length > 0) {
    throw new ModelError(
      `The file's weights are not those of its layers: ${[
        ...(lacking.length > 0 ? [`it has no ${some(lacking)}`] : []),
        ...(strange.length > 0 ? [`no layer has ${some(strange)}`] : []),
      ].join(
        ', and ',
      )}. Its config and its weights are of different models, or a layer is computed otherwise here.`,
    );
  }
  for (const [name, {shape}] of named) {
    const expected = variables.get(name)!.shape;
    if (shape.join() === expected.join()) continue;
    throw new ModelError(
      `Weight "${name}" is [${shape.join(', ')}] in the file, and its layer's config makes it [${expected.join(', ')}].`,
    );
  }
  tf.tidy(() => {
    const tensors = decoded(data, ofModel);
    for (const [name, spec] of named) variables.get(name)!.write(tensors[spec.name]!);
  });
}

/** Keys of configs that are an axis of some weight. */
const axes = [
  ...['input_dim', 'output_dim', 'units', 'filters', 'num_heads', 'key_dim', 'value_dim'],
  ...['head_dim', 'num_query_heads', 'num_key_value_heads'],
];

/**
 * Refuses sizes that the file cannot have, before tfjs makes weights of them.
 * @throws ModelError if a layer says that an axis of its weights is longer than all weights of the file.
 */
export function checkSizes(model: JsonObject, specs: readonly tf.io.WeightsManifestEntry[]): void {
  const numbers = specs.reduce((sum, {shape}) => sum + shape.reduce((product, size) => product * size, 1), 0);
  for (const layer of layersOf(model)) {
    if (isModelClass(layer)) checkSizes(layer, specs);
    const config = layer['config'] as JsonObject;
    const beyond = axes.find(key => Number(config[key]) > numbers);
    if (beyond === undefined) continue;
    throw new ModelError(
      `Layer "${layerName(layer)}" says ${beyond} = ${shown(config[beyond])}, and all weights of the file are ${numbers} numbers.`,
    );
  }
}

/** A weight's name without the models that its layer is in. */
function nameIn(model: JsonObject, name: string): string {
  const [first, ...others] = name.split('/');
  const inner = layersOf(model).filter(isModelClass);
  const outer = inner.find(layer => layerName(layer) === first);
  if (outer !== undefined && others.length > 1) return nameIn(outer, others.join('/'));
  return name;
}

function decoded(data: tf.io.WeightData, specs: tf.io.WeightsManifestEntry[]): tf.NamedTensorMap {
  try {
    return tf.io.decodeWeights(data, specs);
  } catch (error) {
    throw new FormatError(
      'The weights are shorter than the model.json says, or damaged; export or copy them again.',
      {
        cause: error,
      },
    );
  }
}

const some = (names: readonly string[]) =>
  `${names
    .slice(0, 4)
    .map(name => `"${name}"`)
    .join(', ')}${names.length > 4 ? ` and ${names.length - 4} more` : ''}`;
