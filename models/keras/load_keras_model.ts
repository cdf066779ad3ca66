import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import '../../layers/index.js'; // registers attention
import {EigenkvError, FormatError, ModelError} from '../../base/errors.js';
import {checkOptions, flag} from '../../base/options.js';
import {disposingNewVariables} from '../../ops/backends/dispose_new_variables.js';
import {type KerasModelSource, readArtifacts} from './artifacts.js';
import {inCamelCase} from './camel_case.js';
import {checkGraph} from './check_graph.js';
import {checkParts} from './check_parts.js';
import {type Json, type JsonObject, isObject, textOf} from './json.js';
import {asTfjsModel, isModelClass, layersOf} from './topology.js';
import {checkSizes, setKerasWeights} from './weights.js';

export interface LoadKerasOptions {
  /**
   * Whether embeddings with `mask_zero` make padding masks. With false the id 0 is a token as any other: for texts without padding, whose
   * caches then need not look for it. Default true.
   */
  readonly maskZero?: boolean;
}

const optionsSchema = v.strictObject({maskZero: v.optional(flag, true)});

/**
 * Loads a model that Keras 2 or 3 made and the converter of tensorflowjs exported in its layers format; also one that tfjs saved. Its attention
 * layers, `MultiHeadAttention` and `GroupQueryAttention`, take a cache where they are causal and attend to their own input:
 *
 *     const model = await loadKerasModel('exported/model.json');
 *     for await (const id of generate(model, [5, 17, 3], {plan: quantized({bits: 8})})) ...
 *
 * `tf.loadLayersModel` does not read what Keras 3 writes (batch shapes, dtype policies, calls), and of Keras 2 no attention to another layer's
 * output. It computes in float32. Optimizers are left out: compile the model to train it.
 *
 * @param source the path of a model.json or its folder (Node), its address (`https://`, `indexeddb://`, ..., relative to the page in browsers),
 *   or a handler of tfjs.
 * @throws ModelError if a layer's class is not registered with tfjs (all such layers are named), if tfjs cannot build the graph, or if weights and
 *   layers do not fit; InvalidArgumentError, FormatError or TransferError if it cannot be read. Nothing stays in memory then.
 */
export async function loadKerasModel(
  source: KerasModelSource,
  options: LoadKerasOptions = {},
): Promise<tf.LayersModel> {
  const {maskZero} = checkOptions('loadKerasModel', optionsSchema, options);
  const {topology, specs, data, metadata} = await readArtifacts(source);
  const {model: written, keras} = writtenModel(topology);
  const config = asTfjsModel(written, {keras, maskZero});
  expectKnownClasses(config);
  checkGraph(config);
  checkSizes(config, specs);
  checkParts(config);
  return disposingNewVariables(() => {
    const model = built(config);
    setKerasWeights(model, config, specs, data);
    if (metadata !== undefined) model.setUserDefinedMetadata(metadata);
    return model;
  });
}

/** A whole model's JSON has its config inside, beside the version of Keras. */
function writtenModel(topology: Json): {model: JsonObject; keras: 2 | 3} {
  const outer = isObject(topology) ? topology : {};
  const model = isObject(outer['model_config']) ? outer['model_config'] : outer;
  if (!isModelClass(model) && !isObject(model['config'])) {
    throw new FormatError(
      'The modelTopology holds no model: it has no class_name and config. Export the model again.',
    );
  }
  return {model, keras: textOf(outer, 'keras_version')?.startsWith('3') === true ? 3 : 2};
}

/** @throws ModelError that names all layers which tfjs cannot make. */
function expectKnownClasses(config: JsonObject): void {
  const unknown = unknownIn(config);
  if (unknown.size === 0) return;
  const classes = [...unknown].map(
    ([className, names]) => `${className} (${names.map(name => `"${name}"`).join(', ')})`,
  );
  throw new ModelError(
    `tfjs has no layers of the class${unknown.size === 1 ? '' : 'es'} ${classes.join('; ')}. Write them in JavaScript as tf.layers.Layer with ` +
      'that static className and register them with tf.serialization.registerClass before loading, or build the model of layers that tfjs has: ' +
      'docs/guides/keras.md.',
  );
}

function unknownIn(config: JsonObject, unknown = new Map<string, string[]>()): ReadonlyMap<string, string[]> {
  const known = tf.serialization.SerializationMap.getMap().classNameMap;
  for (const layer of layersOf(config)) {
    const className = textOf(layer, 'class_name') ?? '';
    if (isModelClass(layer)) unknownIn(layer, unknown);
    else if (!(className in known)) {
      unknown.set(className, [...(unknown.get(className) ?? []), textOf(layer, 'name') ?? '']);
    }
  }
  return unknown;
}

function built(config: JsonObject): tf.LayersModel {
  const {className, config: inner} = inCamelCase(config) as {
    className: string;
    config: tf.serialization.ConfigDict;
  };
  try {
    return className === 'Sequential'
      ? tf.Sequential.fromConfig<tf.LayersModel>(tf.Sequential, inner, undefined, true)
      : tf.LayersModel.fromConfig<tf.LayersModel>(tf.LayersModel, inner, undefined, true);
  } catch (error) {
    if (error instanceof EigenkvError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new ModelError(`tfjs cannot build this model: ${why}`, {cause: error});
  }
}
