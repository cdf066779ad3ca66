import {pngOf} from './png.js';

export interface CellOutput {
  readonly output_type: string;
  /** Of the stream that `text` went to. */
  readonly name?: string;
  readonly text?: string | string[];
  readonly data?: Readonly<Record<string, string | string[]>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
}
export interface Cell {
  readonly cell_type: 'code' | 'markdown';
  readonly source: string | string[];
  readonly outputs?: readonly CellOutput[];
}
export interface Notebook {
  readonly cells: readonly Cell[];
}

/** Jupyter keeps texts whole or as lines. */
export const textOf = (text: string | string[] | undefined): string => [text ?? []].flat().join('');

/**
 * A notebook as it is committed: without the times at which cells ran, its cells of code numbered, what a cell printed as one output,
 * and beside each SVG the same chart as PNG. JupyterLab shows no SVG (nor HTML) of a notebook that its reader has not run, but
 * pictures.
 */
export function tidied(notebook: Notebook): Notebook {
  let count = 0; // tslab tells Jupyter none
  return {
    ...notebook,
    cells: notebook.cells.map(cell => ({
      ...cell,
      metadata: {},
      ...(cell.outputs !== undefined && {
        execution_count: ++count,
        outputs: joinedStreams(cell.outputs).map(withPng),
      }),
    })),
  };
}

/** Jupyter cuts what is printed by the moments when it came. */
function joinedStreams(outputs: readonly CellOutput[]): CellOutput[] {
  const joined: CellOutput[] = [];
  for (const output of outputs) {
    const last = joined.at(-1);
    const goesOn =
      last?.output_type === 'stream' && output.output_type === 'stream' && output.name === last.name;
    if (!goesOn) joined.push(output);
    else joined[joined.length - 1] = {...last, text: lines(textOf(last.text) + textOf(output.text))};
  }
  return joined;
}

/** As Jupyter writes texts: a line each, with its end. */
const lines = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

function withPng(output: CellOutput): CellOutput {
  const svg = textOf(output.data?.['image/svg+xml']);
  if (svg === '') return output;
  const {data, width, height} = pngOf(svg);
  return {
    ...output,
    data: {...output.data, 'image/png': data},
    metadata: {...output.metadata, 'image/png': {width, height}},
  };
}
