/** Prints the folders of node_modules that tests of ops and `bench/webgpu.ts` need, one a line: for tools/gpu_check.sh. */
import {existsSync, readFileSync} from 'node:fs';

const roots = ['mocha', 'tsx', 'chai', 'fast-check', 'valibot', 'ml-matrix', 'webgpu'].concat(
  ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-backend-webgpu'],
  ['@huggingface/tokenizers', '@huggingface/jinja'],
);
const found = new Set();

function add(name) {
  const folder = `node_modules/${name}`;
  if (found.has(folder) || !existsSync(`${folder}/package.json`)) return;
  found.add(folder);
  const {dependencies = {}, optionalDependencies = {}} = JSON.parse(
    readFileSync(`${folder}/package.json`, 'utf8'),
  );
  for (const needed of Object.keys({...dependencies, ...optionalDependencies})) add(needed);
}

for (const root of roots) add(root);
if (!found.has('node_modules/webgpu')) throw new Error('npm install --no-save webgpu first: it is Dawn.');
console.log([...found].join('\n'));
