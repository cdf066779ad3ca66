import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {type Page, pages, root} from '../markdown_pages.js';
import {policiesChart, tasksChart} from './charts.js';
import {withTables} from './page.js';

/** A file with what bench/history says that it should hold. */
export interface DrawnFile extends Page {
  readonly current: string;
}

/** Charts that pages show. */
const images = {
  'docs/images/smollm2_policies.svg': policiesChart,
  'docs/images/smollm2_tasks.svg': tasksChart,
} as const;

/** All pages, and their charts. */
export async function drawnFiles(): Promise<DrawnFile[]> {
  const written = (await pages()).map(async ({name, text}) => ({
    name,
    text,
    current: await withTables(text),
  }));
  const drawn = Object.entries(images).map(async ([name, draw]) => ({
    name,
    text: await readFile(join(root, name), 'utf8').catch(() => ''), // a new one is not there yet
    current: await draw(),
  }));
  return Promise.all([...written, ...drawn]);
}
