import {basename} from 'node:path';
import type {Figure, Run} from '../../bench/support/history.js';
import {count} from '../../base/units.js';
import type {EvaluationRow} from '../../src/evaluate/index.js';

type Measured = Pick<
  EvaluationRow,
  'perplexity' | 'klDivergence' | 'top1Agreement' | 'bytesPerToken' | 'ratioToFloat32'
>;

/** A row of the field, as measure.py prints it. */
export interface FieldRow extends Measured {
  /** Whose codec it is; `none` for the full cache. */
  readonly codec: string;
  readonly settings: string;
  /** Bytes of tokens that are stored as float32, relative to all as float32. */
  readonly exactRatio: number;
}

/** A row of `eigenkv eval --json`. */
type OwnRow = Measured & Pick<EvaluationRow, 'plan'>;

/** What `measure` and `eigenkv eval --json` print. The first row is the full cache. */
export interface Report {
  /** A file, or the name that is written in it; the first report's is recorded. */
  readonly model: string;
  readonly text: string;
  readonly tokens: number;
  readonly chunk: number;
  readonly rows: readonly (FieldRow | OwnRow)[];
}

/** How far the perplexities of the full cache may differ between reports: their weights are rounded differently. */
const tolerance = 1e-3;

/**
 * The rows of several reports over one text as one run, the most bytes first. Changes are relative to the full cache of the same report.
 * @throws Error if the reports are of different texts, steps or full caches.
 */
export function runOfReports(reports: readonly Report[]): Pick<Run, 'subject' | 'figures'> {
  const [first] = reports;
  if (first === undefined) throw new Error('There are no reports; give the files of one or more.');
  for (const report of reports) {
    const [steps, expected] = [report, first].map(stepsOf);
    if (steps !== expected) throw new Error(`One report is of ${expected}, another of ${steps}.`);
    const [perplexity, other] = [first, report].map(({rows}) => rows[0]!.perplexity) as [number, number];
    if (!(Math.abs(other / perplexity - 1) < tolerance))
      throw new Error(`The full cache has perplexity ${perplexity} in one report, ${other} in another.`);
  }
  const rows = reports.flatMap((report, index) => {
    const full = report.rows[0]!.perplexity;
    return report.rows.slice(index === 0 ? 0 : 1).map(row => figureOf(row, full));
  });
  const figures = rows.sort((a, b) => Number(b['ratioToFloat32']) - Number(a['ratioToFloat32']));
  return {subject: `${basename(first.model, '.gguf')}, ${stepsOf(first)}`, figures};
}

const stepsOf = ({text, tokens, chunk}: Report) =>
  `${count(tokens)} tokens of ${basename(text)}, ${count(chunk)} tokens per step`;

function figureOf(row: FieldRow | OwnRow, fullPerplexity: number): Figure {
  const {perplexity, klDivergence, top1Agreement, bytesPerToken, ratioToFloat32} = row;
  const numbers = {
    ...{perplexity, change: perplexity / fullPerplexity - 1, klDivergence, top1Agreement},
    ...{bytesPerToken, ratioToFloat32},
    ...('exactRatio' in row ? {exactRatio: row.exactRatio} : {}),
  };
  const labels =
    'codec' in row ? {codec: row.codec, settings: row.settings} : {codec: 'eigenkv', settings: row.plan};
  const rounded = Object.fromEntries(
    Object.entries(numbers).map(([key, value]) => [key, Number(value.toPrecision(6))]),
  );
  return {...labels, ...rounded};
}
