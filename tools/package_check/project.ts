import {copyFile, mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {run} from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** An empty project with the packed package in it, and what the guide says to install beside it. */
export async function makeProject(folder: string): Promise<void> {
  const packed = await run(root, 'npm', ['pack', '--json', '--pack-destination', folder]);
  const [{filename, size}] = JSON.parse(packed.slice(packed.indexOf('[\n'))) as [
    {filename: string; size: number},
  ];
  console.log(`Packed ${filename}: ${(size / 1e6).toFixed(1)} MB.`);
  await writeFile(join(folder, 'package.json'), JSON.stringify({private: true, type: 'module'}));
  const beside = ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', 'gpt-tfjs@0.0.5'];
  const tools = ['typescript@5.9', '@types/node@20'];
  await run(folder, 'npm', ['install', '--no-audit', '--no-fund', `./${filename}`, ...beside, ...tools]);
  // gpt-tfjs has no types of its own
  const types = join(folder, 'node_modules', '@types', 'gpt-tfjs');
  await mkdir(types);
  await copyFile(join(root, 'test/support/gpt_tfjs.d.ts'), join(types, 'index.d.ts'));
  await writeFile(
    join(types, 'package.json'),
    JSON.stringify({name: '@types/gpt-tfjs', version: '0.0.5', types: 'index.d.ts'}),
  );
}
