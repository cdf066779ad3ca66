/**
 * `npx tsx bench/random_model.ts SHAPE TYPE FILE.gguf [--seed 1] [--depths N]`: a model of published shapes with random weights, for what
 * depends on sizes alone: memory, loading, speed. `npx tsx bench/random_model.ts` lists shapes and types.
 */
import {parseArgs} from 'node:util';
import {randomTypes} from './support/random_blocks.js';
import {shapes, writeRandomModel} from './support/random_model.js';

const {values, positionals} = parseArgs({
  options: {seed: {type: 'string', default: '1'}, depths: {type: 'string'}},
  allowPositionals: true,
});
const [name = '', given, path] = positionals;
const shape = Object.entries(shapes).find(([known]) => known === name)?.[1];
const type = randomTypes.find(known => known === given);
if (shape === undefined || type === undefined || path === undefined) {
  throw new Error(
    `Give SHAPE TYPE FILE.gguf; shapes: ${Object.keys(shapes).join(', ')}; types: ${randomTypes.join(', ')}.`,
  );
}
const depths = Number(values.depths ?? shape.depths);
await writeRandomModel(path, {
  shape: {...shape, depths},
  type,
  seed: Number(values.seed),
  name: `${name} random ${type}`,
});
