import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {existsSync, readdirSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {checkedWeights} from '../../../models/formats/check_weights.js';
import {fillWeights} from '../../../models/formats/fill_weights.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {buildModel, configFromGguf, configFromHub} from '../../../models/architectures/index.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import type {Golden} from './tiny_models.js';

/** Small random models of all architectures; tools/architecture_goldens made them. */
const folder = new URL('../../golden/architectures/', import.meta.url);

export const goldenModels = readdirSync(folder);

export function goldenPath(name: string, file: string): string {
  return new URL(`${name}/${file}`, folder).pathname;
}

export const goldenFiles = (name: string) =>
  ['model.safetensors', 'model.gguf'].filter(file => existsSync(goldenPath(name, file)));

export async function goldenJson<T>(name: string, file: string): Promise<T> {
  return JSON.parse(await readFile(goldenPath(name, file), 'utf8')) as T;
}

export const goldenOf = (name: string) => goldenJson<Golden>(name, 'golden.json');

/** A model of these goldens with its weights, from either file. */
export async function goldenModel(
  name: string,
  file = 'model.safetensors',
): Promise<{model: tf.LayersModel; config: ModelConfig}> {
  const weights = await openTensorPath(goldenPath(name, file));
  try {
    const config =
      weights.format === 'gguf'
        ? await configFromGguf(weights)
        : configFromHub(await goldenJson<Record<string, unknown>>(name, 'config.json'));
    const model = buildModel(config, {kernelInitializer: 'zeros'});
    const warnings: string[] = [];
    await fillWeights(
      model,
      checkedWeights(weights, config, message => warnings.push(message)),
      weights,
    );
    if (warnings.length > 0) throw new Error(warnings.join(' '));
    return {model, config};
  } finally {
    await weights.close();
  }
}

/** Of the largest logit; float32 against PyTorch's float32, whose logits have six digits in the files. */
export const tolerance = 1e-4;

/** The largest difference of logits, as a share of the largest logit. */
export function worst(logits: ArrayLike<number>, expected: readonly number[]): number {
  expect(logits.length).to.equal(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  // a NaN makes the maximum NaN, which is below nothing
  return Math.max(...expected.map((x, i) => Math.abs(x - logits[i]!))) / largest;
}

/** The root mean square difference of logits, as a share of their root mean square. */
export function distance(logits: ArrayLike<number>, expected: readonly number[]): number {
  const squares = expected.reduce((sum, x, i) => sum + (x - logits[i]!) ** 2, 0);
  return Math.sqrt(squares / expected.reduce((sum, x) => sum + x * x, 0));
}
