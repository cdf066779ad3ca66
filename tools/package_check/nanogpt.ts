import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import ts from 'typescript';
import {run} from './run.js';

/** Random models of nanogpt: greedy tokens computed all again for each, and with a cache of ours. */
const harness = `
import * as tf from '@tensorflow/tfjs';
import {KVCache, quantized, uniformShapes} from 'eigenkv';

tf.env().set('IS_NODE', false); // nanogpt brings a tfjs built for browsers
const {models} = await import('@genai-fi/nanogpt');
tf.env().set('IS_NODE', true);
await tf.setBackend('cpu');
const sizes = {vocabSize: 64, blockSize: 64, nLayer: 2, nHead: 2, nEmbed: 32, mlpFactor: 4, useRope: true};
const model = new models.NanoGPTV1(sizes);

async function greedy(next) {
  const ids = [5, 17, 3];
  const logits = [];
  for (let i = 0; i < 60; i++) {
    const fresh = next(ids);
    const last = tf.tidy(() => {
      const all = model.forward({training: false}, tf.tensor2d([fresh], [1, fresh.length], 'int32'));
      return tf.slice(all, [0, fresh.length - 1, 0], [1, 1, -1]);
    });
    const numbers = await last.data();
    last.dispose();
    logits.push(...numbers);
    ids.push(numbers.indexOf(Math.max(...numbers)));
  }
  return {ids, logits};
}
const uncached = await greedy(ids => ids);
const shape = {depths: sizes.nLayer, heads: sizes.nHead, headDim: sizes.nEmbed / sizes.nHead};
const bytes = [];
for (const plan of [undefined, quantized({bits: 4, groupSize: 16, residual: 8})]) {
  const cache = new KVCache(uniformShapes(shape), plan);
  useCache(model.blocks, cache);
  const cached = await greedy(ids => ids.slice(cache.tokens));
  if (plan === undefined) {
    console.log('the same tokens: ' + (cached.ids.join() === uncached.ids.join()));
    const difference = Math.max(...cached.logits.map((logit, i) => Math.abs(logit - uncached.logits[i])));
    if (!(difference < 1e-4)) throw new Error('The logits differ by ' + difference);
    console.log('logits within ' + difference.toExponential(1));
  }
  bytes.push(cache.byteSize);
  cache.dispose();
}
console.log(bytes[1] + ' bytes instead of ' + bytes[0]);
`;

/** The guide's function, with a model of nanogpt. */
export async function checkNanoGpt(folder: string, guide: string): Promise<void> {
  const place = join(folder, 'nanogpt');
  await mkdir(place);
  // its install script patches its own development tools
  const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '@genai-fi/nanogpt@1.3.0'];
  try {
    await run(folder, 'npm', install);
  } catch (error) {
    console.log(`@genai-fi/nanogpt: skipped, it does not install: ${String(error).split('\n')[0] ?? ''}`);
    return;
  }
  const options = {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022};
  const {outputText} = ts.transpileModule(guide, {compilerOptions: options});
  await writeFile(join(place, 'use.mjs'), `${outputText}\n${harness}`);
  const output = await run(place, process.execPath, ['use.mjs']);
  if (!output.includes('the same tokens: true')) throw new Error(`nanogpt: the tokens differ:\n${output}`);
  console.log(`@genai-fi/nanogpt, plain functions: ${output.trim().split('\n').join(', ')}.`);
}
