import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {type Page, pages, root} from '../markdown_pages.js';
import {policiesChart} from './charts.js';
import {withTables} from './page.js';

/** A file with what bench/history says that it should hold. */
export interface DrawnFile extends Page {
  readonly current: string;
}

const chart = 'docs/images/smollm2_policies.svg';

/** All pages, and the chart of the README. */
export async function drawnFiles(): Promise<DrawnFile[]> {
  const written = (await pages()).map(async ({name, text}) => ({
    name,
    text,
    current: await withTables(text),
  }));
  const drawn = {
    name: chart,
    text: await readFile(join(root, chart), 'utf8'),
    current: await policiesChart(),
  };
  return [...(await Promise.all(written)), drawn];
}
