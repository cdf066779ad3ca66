import type {Figure, Run} from '../../bench/support/history.js';
import {count} from '../../base/units.js';
import type {EvaluationRow} from '../../src/evaluate/index.js';
import type {EvaluationReport} from '../../src/report/report_table.js';
import {evaluationChart, type LineChart, lineChartSvg} from '../../src/report/charts.js';
import {newestFigures, runsOfTable} from './page.js';
import {shownPlans} from './quality_tables.js';
import type {Table} from './table.js';
import {tables} from './tables.js';
import {atCommonLengths, grouped, labelOf, pooled, taskCase} from './task_cells.js';

/** Charts that the site shows above tables, as SVG, by the names of the tables. */
export const charts: Readonly<Record<string, readonly (() => Promise<string>)[]>> = {
  policies: [policiesChart],
  tasks_by_length: [tasksChart],
  decode_smollm2: [
    () => decodeChart('decode_smollm2'),
    () =>
      courseChart('decode_smollm2', 'Decode attention of SmolLM2, one depth, at a context of 8,192 tokens'),
  ],
  decode_llama: [() => decodeChart('decode_llama')],
  peers: [() => courseChart('peers', 'One token of SmolLM2 at a context of 8,192 tokens')],
  low_rank_embedded: [() => lowRankChart('low_rank_embedded')],
  low_rank_smollm2: [() => lowRankChart('low_rank_smollm2')],
};

/** Perplexity against bytes per token, of the newest evaluation of each policy of the README. */
export async function policiesChart(): Promise<string> {
  const table = tableNamed('policies');
  const runs = await runsOfTable(table);
  const run = runs.at(-1)!;
  const figures = newestFigures(runs, table.case!);
  const about =
    /^(?<model>.*), (?<tokens>[\d,]+) tokens of (?<text>.*), (?<chunk>[\d,]+) tokens per chunk$/.exec(
      run.subject,
    );
  const {model = '', tokens = '', text = '', chunk = ''} = about?.groups ?? {};
  const whole = (digits: string) => Number(digits.replaceAll(',', ''));
  const report: EvaluationReport = {
    ...{model, text, tokens: whole(tokens), chunk: whole(chunk), backend: 'wasm'},
    rows: figures.filter(({plan}) => shownPlans.has(String(plan))).map(evaluationRow),
  };
  return evaluationChart(report);
}

function evaluationRow(figure: Figure): EvaluationRow {
  const of = (key: string) => Number(figure[key] ?? NaN);
  const ratioToFloat32 = of('ratioToFloat32');
  return {
    plan: String(figure['plan']),
    ...{perplexity: of('perplexity'), perplexityStderr: of('perplexityStderr'), changeStderr: NaN},
    ...{klDivergence: of('klDivergence'), top1Agreement: of('top1Agreement'), klStderr: NaN},
    ...{bytesPerToken: of('bytesPerToken'), ratioToFloat32, ratioToFloat16: 2 * ratioToFloat32},
    ...{prefillTokensPerSecond: NaN, decodeTokensPerSecond: NaN, peakBytes: NaN},
  };
}

/** Codecs, policies and peers that the charts of speed follow. */
const followed: Readonly<Record<string, string>> = {
  ...{
    dense: 'float32',
    full: 'full cache',
    int8: '8 bits',
    int4: '4 bits',
    float8: 'float8',
    lowRank: 'low rank',
  },
  'f16, float32': 'llama.cpp, float16 cache',
};

function seriesOf({codec = '', weights, backend}: Figure): string | undefined {
  return followed[backend === undefined || backend === 'wasm' ? codec : `${codec}, ${weights ?? ''}`];
}

/** Milliseconds over the length of the context, of the newest run. */
async function decodeChart(name: string): Promise<string> {
  const run = (await runsOfTable(tableNamed(name))).at(-1)!;
  const points = run.figures.flatMap(figure => pointOf(figure, Number(figure['tokens'])));
  return lineChartSvg({
    ...{title: `Decode attention of ${run.subject}, one depth`, points, ...aboutRun(run)},
    ...{x: {title: 'context, tokens', format: ',d'}, y: {title: 'milliseconds per token'}},
  });
}

/** Milliseconds at a context of 8,192 tokens over the runs so far. */
async function courseChart(name: string, title: string): Promise<string> {
  const runs = await runsOfTable(tableNamed(name));
  const points = runs.flatMap(({figures}, i) =>
    figures.filter(({tokens}) => tokens === 8192).flatMap(figure => pointOf(figure, i + 1)),
  );
  return lineChartSvg({
    ...{title, subtitle: `runs from ${runs[0]!.date} to ${runs.at(-1)!.date}`, points, colours},
    ...{x: {title: 'run', whole: true}, y: {title: 'milliseconds per token'}},
  });
}

function pointOf(figure: Figure, x: number): LineChart['points'] {
  const series = seriesOf(figure);
  return series === undefined ? [] : [{series, x, y: Number(figure['ms'])}];
}

/** KL divergence over the share of the numbers that is kept. */
async function lowRankChart(name: string): Promise<string> {
  const run = (await runsOfTable(tableNamed(name))).at(-1)!;
  const points = run.figures
    .filter(({ratio, latents}) => ratio !== undefined && latents === undefined)
    .map(({ranks, method, ratio, kl}) => ({
      series: `${ranks!}, ${method!}`,
      x: Number(ratio),
      y: Number(kl),
    }));
  return lineChartSvg({
    ...{title: `Attention in latents, ${run.subject}`, points, ...aboutRun(run)},
    x: {title: 'share of the numbers that is kept', zero: false},
    y: {title: 'KL divergence, nats'},
  });
}

/** The lines of the chart of tasks. */
const ways: Readonly<Record<string, {readonly name: string; readonly colour: string}>> = {
  transform: {name: 'all tokens, fewer bits: transform', colour: '#1f5fa8'},
  quantized: {name: 'all tokens, fewer bits: quantized', colour: '#2a9d8f'},
  h2o: {name: 'fewer tokens: h2o', colour: '#b33f00'},
  sliding: {name: 'fewer tokens: sliding', colour: '#b08900'},
  snapKv: {name: 'fewer tokens: snapKv', colour: '#8a4fa3'},
  expectedAttention: {name: 'fewer tokens: expectedAttention', colour: '#d9641e'},
};

/** Answers found over the size of the cache: what fewer bits and fewer tokens forget. */
export async function tasksChart(): Promise<string> {
  const runs = await runsOfTable(tableNamed('tasks_by_length'));
  const figures = atCommonLengths(
    newestFigures(runs, taskCase).filter(({keeper}) => keeper === 'full' || String(keeper) in ways),
  );
  const all = [...grouped(figures, labelOf).values()].map(of => ({
    keeper: String(of[0]!['keeper']),
    ...pooled(of),
  }));
  const full = all.find(({keeper}) => keeper === 'full')!;
  const order = (keeper: string) => Object.keys(ways).indexOf(keeper);
  const plans = all.filter(({keeper}) => keeper !== 'full').sort((a, b) => order(a.keeper) - order(b.keeper));
  const shown = [...new Set(plans.map(({keeper}) => keeper))];
  const lengths = [...new Set(figures.map(({tokens}) => Number(tokens)))].sort((a, b) => a - b);
  return lineChartSvg({
    title: 'Answers that a model finds in its context',
    subtitle: [
      `${runs.at(-1)!.subject.split(',')[0]!}: ${count(full.questions)} questions about contexts of ${lengths.map(count).join(', ')} tokens`,
      'names, numbers, sentences and instructions that the text says once, asked for at its end',
    ],
    x: {title: 'bytes of the cache, share of float32', format: '.0%'},
    y: {title: 'questions answered', format: '.0%'},
    colours: ['#888888', ...shown.map(keeper => ways[keeper]!.colour)],
    points: [
      ...[0, 0.6].map(x => ({series: 'full cache', x, y: full.found})),
      ...plans.map(({keeper, found, ratioToFloat32}) => ({
        series: ways[keeper]!.name,
        x: ratioToFloat32,
        y: found,
      })),
    ],
  });
}

const colours = ['#888888', '#2f74c0', '#d9641e', '#5a9e4b', '#a568c0', '#b08900', '#2a9d8f'];

const aboutRun = ({date, commit, machine}: Run) => ({
  subtitle: `${date}, commit ${commit}; ${machine}`,
  colours,
});

function tableNamed(name: string): Table {
  const table = tables[name];
  if (table === undefined) throw new Error(`No table ${name}.`);
  return table;
}
