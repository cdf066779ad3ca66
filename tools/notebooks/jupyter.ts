import {access, mkdir, readFile, writeFile} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {isThere, run} from '../package_check/run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Python that has nbconvert; Debian's own, since others on the path seldom do. */
const python = '/usr/bin/python3';

export interface CellOutput {
  readonly output_type: string;
  /** Of the stream that `text` went to. */
  readonly name?: string;
  readonly text?: string | string[];
  readonly data?: Readonly<Record<string, string | string[]>>;
}
export interface Cell {
  readonly cell_type: 'code' | 'markdown';
  readonly source: string | string[];
  readonly outputs?: readonly CellOutput[];
}
export interface Notebook {
  readonly cells: readonly Cell[];
}

/** Why notebooks cannot be executed here; nothing where they can. */
export async function whyNoJupyter(): Promise<string | undefined> {
  if (await isThere(python, ['-m', 'nbconvert', '--version'])) return undefined;
  return `There is no Jupyter: ${python} has no nbconvert (apt-get install jupyter-nbconvert python3-nbconvert jupyter-client).`;
}

/**
 * Installs tslab and its kernel, once, into a folder that git ignores: apart from the dependencies, since it brings a TypeScript of
 * its own, whose `tsc` would take the place of ours.
 * @returns the folder of Jupyter's data.
 */
export async function installKernel(): Promise<string> {
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
 * @throws Error where a cell fails or complains: what it said stands in the message.
 */
export async function executeNotebook(file: string, jupyterPath: string): Promise<Notebook> {
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
    .map(({text = []}) => [text].flat().join(''));
  if (complaints.length > 0) throw new Error(`${basename(file)} failed:\n${complaints.join('\n')}`);
  // when each cell ran says nothing, and changes every time
  return {...notebook, cells: notebook.cells.map(cell => ({...cell, metadata: {}}))};
}
