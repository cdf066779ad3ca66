/**
 * `npm run bench:record -- FILE`: appends an evaluation to bench/history/eval.jsonl. FILE is what `eigenkv eval --json` printed,
 * or the report.json of `eigenkv eval --out`. Of files only the names are kept, of numbers six significant digits.
 */
import {readFile} from 'node:fs/promises';
import {basename} from 'node:path';
import {parseArgs} from 'node:util';
import type {EvaluationReport} from '../src/report/report_table.js';
import {count, counted} from '../base/units.js';
import {record, type Figure} from './support/history.js';

const {positionals} = parseArgs({allowPositionals: true});
for (const file of positionals) {
  const report = JSON.parse(await readFile(file, 'utf8')) as EvaluationReport;
  const {model, text, tokens, chunk, rows} = report;
  const full = rows[0];
  if (full === undefined) throw new Error(`${file} has no rows: expected the JSON of \`eigenkv eval\`.`);
  const subject = `${basename(model)}, ${count(tokens)} tokens of ${basename(text)}, ${count(chunk)} tokens per chunk`;
  const figures = rows.map(({drift: _, bytesPerTokenOfDepths: __, ...row}) =>
    rounded({...row, change: row.perplexity / full.perplexity - 1}),
  );
  await record({what: 'eval', subject, figures});
  console.log(`bench/history/eval.jsonl: ${counted(figures.length, 'row')} of ${subject}`);
}

function rounded(figure: Figure): Figure {
  return Object.fromEntries(
    Object.entries(figure).map(([key, value]) => [
      key,
      typeof value === 'string' ? value : Number(value.toPrecision(6)),
    ]),
  );
}
