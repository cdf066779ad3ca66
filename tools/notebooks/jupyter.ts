import {access, mkdir, readFile, writeFile} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {isThere, run} from '../package_check/run.js';
import {type Notebook, textOf, tidied} from './notebook.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Where a Python with nbconvert may be: the one that PYTHON names, the first on the path, Debian's. */
const pythons = [process.env['PYTHON'] ?? [], 'python3', '/usr/bin/python3'].flat();

/** A Python that can execute notebooks, or none. */
export async function findPython(): Promise<string | undefined> {
  for (const python of pythons) if (await isThere(python, ['-m', 'nbconvert', '--version'])) return python;
  return undefined;
}

/** The message if there is none. */
export const noJupyter = `skipped, no nbconvert in ${pythons.join(', ')} (pip install nbconvert jupyter-client; or give PYTHON=PATH).`;

/**
 * Installs tslab and its kernel, once, into a folder that git ignores: apart from the dependencies, since it brings a TypeScript of
 * its own, whose `tsc` would take the place of ours.
 * @returns the folder of Jupyter's data.
 */
async function installKernel(python: string): Promise<string> {
  const folder = join(root, 'node_modules', '.cache', 'tslab-1.0.22');
  const data = join(folder, 'jupyter');
  const tslab = join(folder, 'node_modules', '.bin', 'tslab');
  if (
    await access(join(data, 'share/jupyter/kernels/tslab/kernel.json')).then(
      () => true,
      () => false,
    )
  ) {
    return join(data, 'share', 'jupyter');
  }
  await mkdir(folder, {recursive: true});
  await writeFile(join(folder, 'package.json'), JSON.stringify({private: true}));
  await run(folder, 'npm', ['install', '--no-audit', '--no-fund', 'tslab@1.0.22']);
  await run(folder, tslab, ['install', `--python=${python}`, `--prefix=${data}`, `--binary=${tslab}`]);
  return join(data, 'share', 'jupyter');
}

/**
 * Executes a notebook in its folder, and writes it back with its outputs.
 * @throws Error if a cell fails or complains: the message has its output.
 */
export async function executeNotebook(file: string, python: string): Promise<Notebook> {
  const jupyterPath = await installKernel(python);
  await run(
    dirname(file),
    python,
    [
      '-m',
      'nbconvert',
      '--to',
      'notebook',
      '--execute',
      '--inplace',
      '--allow-errors',
      // seconds for a cell, for the kernel to start, and for a cell's last output (4 by default, then outputs are lost)
      '--ExecutePreprocessor.timeout=3600',
      '--ExecutePreprocessor.startup_timeout=600',
      '--ExecutePreprocessor.iopub_timeout=600',
      basename(file),
    ],
    {JUPYTER_PATH: jupyterPath},
  );
  const notebook = JSON.parse(await readFile(file, 'utf8')) as Notebook;
  // tslab's errors reach Jupyter without a word, but stand on the cell's stderr
  const complaints = notebook.cells
    .flatMap(({outputs = []}) => outputs)
    .filter(({output_type: type, name}) => type === 'error' || name === 'stderr')
    .map(({text}) => textOf(text));
  if (complaints.length > 0) throw new Error(`${basename(file)} failed:\n${complaints.join('\n')}`);
  return tidied(notebook);
}
