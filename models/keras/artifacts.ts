import * as tf from '@tensorflow/tfjs';
import {FormatError, InvalidArgumentError, TransferError, shown} from '../../base/errors.js';
import {openFileSource} from '../../base/files/byte_source.js';
import {parseJsonText} from '../../base/files/json_text.js';
import {runsInNode} from '../../base/optional_package.js';
import type {Json} from './json.js';

/** Where a model in tfjs' layers format is. */
export type KerasModelSource = string | tf.io.IOHandler;

/** What a model.json and the files beside it hold. */
export interface KerasArtifacts {
  readonly topology: Json;
  readonly specs: readonly tf.io.WeightsManifestEntry[];
  readonly data: tf.io.WeightData;
  readonly metadata: object | undefined;
}

/**
 * Reads a model.json and its weights: by path in Node, by address, or by a handler of tfjs.
 *
 * @throws InvalidArgumentError if there is none there, or if it is no layers model; FormatError if it is damaged; TransferError if disk or
 *   network fail.
 */
export async function readArtifacts(source: KerasModelSource): Promise<KerasArtifacts> {
  const {modelTopology, weightSpecs, weightData, format, userDefinedMetadata} = await artifactsOf(source);
  if (format === 'graph-model') {
    throw new InvalidArgumentError(
      'This is a graph model of tfjs, which has no layers and takes no cache. Convert it with --output_format=tfjs_layers_model.',
    );
  }
  if (modelTopology === undefined || modelTopology instanceof ArrayBuffer) {
    throw new FormatError(
      'The model.json has no modelTopology; give the file that the converter of tensorflowjs wrote.',
    );
  }
  return {
    topology: modelTopology as Json,
    specs: weightSpecs ?? [],
    data: weightData ?? new ArrayBuffer(0),
    metadata: userDefinedMetadata,
  };
}

async function artifactsOf(source: KerasModelSource): Promise<tf.io.ModelArtifacts> {
  const given: unknown = source;
  if (typeof given === 'string' && isPath(given)) return await fromDisk(given.replace(/^file:\/\//, ''));
  const handler: unknown = typeof source === 'string' ? handlerOf(source) : source;
  if (!isHandler(handler)) {
    throw new InvalidArgumentError(
      `loadKerasModel(${shown(given)}): expected the path or address of a model.json, or a handler of tfjs that loads.`,
    );
  }
  try {
    return await handler.load();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TransferError(
      `The model at ${typeof source === 'string' ? source : 'the handler'} cannot be read: ${why}`,
      {
        cause: error,
      },
    );
  }
}

const isHandler = (given: unknown): given is {load(): Promise<tf.io.ModelArtifacts>} =>
  typeof given === 'object' && given !== null && 'load' in given && typeof given.load === 'function';

const isPath = (source: string) => runsInNode() && !/^(?!file:)[a-z]+:\/\//i.test(source);

/** An address relative to the page has no scheme that tfjs knows. */
function handlerOf(address: string): tf.io.IOHandler | tf.io.IOHandlerSync {
  const [handler] = tf.io.getLoadHandlers(address);
  return handler ?? tf.io.http(address);
}

/** Node only: tfjs itself reads files with tfjs-node alone. */
async function fromDisk(path: string): Promise<tf.io.ModelArtifacts> {
  const {stat} = process.getBuiltinModule('node:fs/promises');
  const {dirname, join, resolve, sep} = process.getBuiltinModule('node:path');
  const isFolder = await stat(path).then(
    found => found.isDirectory(),
    () => false,
  );
  const file = resolve(isFolder ? join(path, 'model.json') : path);
  const json = parseJsonText(await bytesOf(file), file);
  if (typeof json !== 'object' || json === null || !('modelTopology' in json)) {
    throw new FormatError(
      `${file} has no modelTopology; give the model.json that the converter of tensorflowjs wrote.`,
    );
  }
  const folder = dirname(file);
  return await tf.io.getModelArtifactsForJSON(json as tf.io.ModelJSON, async manifest => {
    const buffers: ArrayBuffer[] = [];
    for (const part of manifest.flatMap(({paths}) => paths)) {
      const shard = resolve(folder, part);
      if (!shard.startsWith(folder + sep)) {
        throw new FormatError(`${file} names weights outside of its folder: ${shown(part)}.`);
      }
      buffers.push((await bytesOf(shard)).slice().buffer);
    }
    return [manifest.flatMap(({weights}) => weights), buffers];
  });
}

async function bytesOf(file: string): Promise<Uint8Array> {
  const source = await openFileSource(file);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
