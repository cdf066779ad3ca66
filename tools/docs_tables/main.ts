/**
 * `npm run docs:tables`: writes the tables of README.md and docs/*.md from bench/history, each between its markers
 * `<!-- table NAME -->` and `<!-- end of table -->`, and the charts of docs/images. A test fails if they are stale.
 */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {root} from '../markdown_pages.js';
import {drawnFiles} from './files.js';

for (const {name, text, current} of await drawnFiles()) {
  if (text === current) continue;
  await writeFile(join(root, name), current);
  console.log(`written: ${name}`);
}
