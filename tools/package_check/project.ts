import {copyFile, mkdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {run} from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * An empty project with the packed package in it, and what the guide says to install beside it.
 * @returns the packed file.
 */
export async function makeProject(folder: string): Promise<string> {
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
  return join(folder, filename);
}

/** The package and what README's install line names beside it, and nothing else, into an empty folder. */
export async function makePageProject(folder: string, packed: string): Promise<void> {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const beside = /^npm install eigenkv (.+)$/m.exec(readme)?.[1];
  if (beside === undefined) throw new Error("README.md has no line 'npm install eigenkv ...'.");
  await writeFile(join(folder, 'package.json'), JSON.stringify({private: true, type: 'module'}));
  await run(folder, 'npm', ['install', '--no-audit', '--no-fund', packed, ...beside.split(' ')]);
}
