import * as tf from '@tensorflow/tfjs';
import {readdirSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {checkedWeights} from '../../../models/formats/check_weights.js';
import {fillWeights} from '../../../models/formats/fill_weights.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {buildModel, configFromGguf, configFromHub} from '../../../models/architectures/index.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';

/** The folder of small random models; test/golden/models/tiny_models.py and tiny_gguf.py made them. */
const tiny = new URL('../../golden/models/tiny/', import.meta.url);

export interface Golden {
  readonly ids: readonly number[];
  readonly meanNll: number;
  readonly logits: {readonly shape: readonly [number, number]; readonly data: readonly number[]};
}

// at once, for mocha would load a file that awaits at its top twice
export const tinyModels = readdirSync(tiny);

export function tinyPath(name: string, file: string): string {
  return new URL(`${name}/${file}`, tiny).pathname;
}

export async function tinyJson<T>(name: string, file: string): Promise<T> {
  return JSON.parse(await readFile(tinyPath(name, file), 'utf8')) as T;
}

export async function tinyConfig(name: string): Promise<ModelConfig> {
  return configFromHub(await tinyJson<Record<string, unknown>>(name, 'config.json'));
}

/** A tiny model with its weights, from either file. */
export async function tinyModel(
  name: string,
  file = 'model.safetensors',
): Promise<{model: tf.LayersModel; config: ModelConfig}> {
  const weights = await openTensorPath(tinyPath(name, file));
  try {
    const config = weights.format === 'gguf' ? await configFromGguf(weights) : await tinyConfig(name);
    const model = buildModel(config, {kernelInitializer: 'zeros'});
    await fillWeights(model, checkedWeights(weights, config), weights);
    return {model, config};
  } finally {
    await weights.close();
  }
}

/** Ids as the batch of one text. */
export function asBatch(ids: readonly number[]): tf.Tensor2D {
  return tf.tensor2d([...ids], [1, ids.length], 'int32');
}

/** A model's logits, `[tokens, vocabSize]` row by row. */
export async function logitsOf(
  model: tf.LayersModel,
  ids: readonly number[],
  kwargs: object = {},
): Promise<ArrayLike<number>> {
  const input = asBatch(ids);
  const logits = model.apply(input, {...kwargs}) as tf.Tensor;
  const values = await logits.data();
  tf.dispose([input, logits]);
  return values;
}

/** Mean negative log-likelihood, nats a token, of ids[1:] each given what stands before it, summed in float64. */
export function meanNll(logits: ArrayLike<number>, ids: readonly number[]): number {
  const vocabSize = logits.length / ids.length;
  let sum = 0;
  for (let token = 0; token + 1 < ids.length; token++) {
    const row = Array.from({length: vocabSize}, (_, i) => logits[token * vocabSize + i]!);
    const top = row.reduce((a, b) => Math.max(a, b));
    const logSum = top + Math.log(row.reduce((total, x) => total + Math.exp(x - top), 0));
    sum += logSum - row[ids[token + 1]!]!;
  }
  return sum / (ids.length - 1);
}
