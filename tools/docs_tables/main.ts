/**
 * `npm run docs:tables`: writes the tables of README.md and docs/*.md from bench/history, each between its markers
 * `<!-- table NAME -->` and `<!-- end of table -->`, and the chart of the README. `-- --check` writes nothing and fails if something would change.
 */
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {pages, root} from '../markdown_pages.js';
import {policiesChart} from './charts.js';
import {withTables} from './page.js';

const {values: options} = parseArgs({options: {check: {type: 'boolean', default: false}}});
const chart = 'docs/images/smollm2_policies.svg';
const files = [
  ...(await Promise.all(
    (await pages()).map(async ({name, text}) => ({name, text, now: await withTables(text)})),
  )),
  {name: chart, text: await readFile(join(root, chart), 'utf8'), now: await policiesChart()},
];
const stale = files.filter(({text, now}) => text !== now);
if (!options.check) for (const {name, now} of stale) await writeFile(join(root, name), now);
for (const {name} of stale)
  console.log(`${options.check ? 'stale, run `npm run docs:tables`' : 'written'}: ${name}`);
if (options.check && stale.length > 0) process.exitCode = 1;
