import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {executeNotebook, findPython, noJupyter} from '../notebooks/jupyter.js';
import {textOf} from '../notebooks/notebook.js';
import {checkOutput} from './guide.js';

/** The guide as a notebook of one cell. */
export async function checkNotebook(folder: string, guide: string): Promise<void> {
  const python = await findPython();
  if (python === undefined) {
    console.log(`tslab notebook: ${noJupyter}`);
    return;
  }
  const cell = {
    cell_type: 'code',
    id: 'guide',
    execution_count: null,
    metadata: {},
    outputs: [],
    source: guide,
  };
  const kernelspec = {name: 'tslab', display_name: 'TypeScript', language: 'typescript'};
  const notebook = {cells: [cell], metadata: {kernelspec}, nbformat: 4, nbformat_minor: 5};
  const file = join(folder, 'guide.ipynb');
  await writeFile(file, JSON.stringify(notebook));
  const done = await executeNotebook(file, python);
  const text = done.cells.flatMap(({outputs = []}) => outputs.map(output => textOf(output.text)));
  console.log(`tslab notebook: ${checkOutput(text.join('\n'))}.`);
}
