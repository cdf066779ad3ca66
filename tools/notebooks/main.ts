/**
 * `npm run notebooks`: executes notebooks/ with the built package and writes their outputs back; with `-- --check` it compares them with
 * the committed ones and fails if they differ. Names of notebooks may follow: `npm run notebooks -- 4_write`. Skips, and says why,
 * where there is no Jupyter.
 */
import {copyFile, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {run} from '../package_check/run.js';
import {differences} from './differences.js';
import {executeNotebook, findPython, noJupyter} from './jupyter.js';
import type {Notebook} from './notebook.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const source = join(root, 'notebooks');

const [flags, names] = [true, false].map(isFlag =>
  process.argv.slice(2).filter(arg => arg.startsWith('--') === isFlag),
);
const python = await findPython();
if (python === undefined) console.log(`Notebooks: ${noJupyter}`);
else await executeAll(python);

async function executeAll(python: string): Promise<void> {
  await run(root, 'npm', ['run', 'build']);
  const folder = await mkdtemp(join(tmpdir(), 'eigenkv-notebooks-'));
  try {
    await linkPackages(folder);
    const files = (await readdir(source)).filter(name => name.endsWith('.ipynb')).sort();
    for (const file of files.filter(
      name => names!.length === 0 || names!.some(part => name.startsWith(part)),
    )) {
      const started = performance.now();
      await copyFile(join(source, file), join(folder, file));
      const notebook = await executeNotebook(join(folder, file), python);
      if (flags!.includes('--check')) await expectSame(file, notebook);
      else await writeFile(join(source, file), `${JSON.stringify(notebook, undefined, 1)}\n`);
      console.log(`${file}: ${Math.round((performance.now() - started) / 1000)} s`);
    }
  } finally {
    await rm(folder, {recursive: true, force: true});
  }
}

/** @throws Error if the notebook that is there shows something else. */
async function expectSame(file: string, notebook: Notebook): Promise<void> {
  const found = differences(JSON.parse(await readFile(join(source, file), 'utf8')) as Notebook, notebook);
  if (found.length === 0) return;
  throw new Error(`${file} is not what a run gives (npm run notebooks):\n${found.join('\n')}`);
}

/** What a project that installed the package would have, as links: tslab finds packages as old Node did, by folders alone. */
async function linkPackages(folder: string): Promise<void> {
  const packages = join(folder, 'node_modules');
  await mkdir(packages);
  const {name} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {name: string};
  await symlink(root, join(packages, name));
  for (const found of await readdir(join(root, 'node_modules'))) {
    if (!found.startsWith('.')) await symlink(join(root, 'node_modules', found), join(packages, found));
  }
}
