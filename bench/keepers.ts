/**
 * Which tokens to keep: every keeper at equal numbers of tokens.
 *
 *     npx tsx bench/keepers.ts --model M --text FILE [--tokens 4096] [--kept 1024,512,256] [--keepers 'h2o;snapKv'] [--refit] [--fit] [--record]
 *     npx tsx bench/keepers.ts --model M --text FILE --prompts 6 [--tokens 2048] [--kept 512,256] [--after 512] [--refit] [--fit] [--record]
 *
 * The first form reads a text, 64 tokens at a time, while each policy keeps `--kept` tokens: 4 sinks, the newest half, and the keeper's choice
 * among the others; compared with the full cache as `eigenkv eval` does. The second form reads `--prompts` parts of the text, each into one
 * cache; a copy of it is cut by `compressPrompt` for each keeper, and both go on with the next `--after` tokens of the text. `--refit` gives
 * each keeper a second row, in which tokens that stay take over the evicted ones, and `--fit` another, in which their values are fitted as well.
 * `--record` appends the run to bench/history/keepers.jsonl or
 * prompts.jsonl.
 */
import {readFile} from 'node:fs/promises';
import {basename} from 'node:path';
import {parseArgs} from 'node:util';
import {mean, standardError} from '../base/statistics.js';
import {count} from '../base/units.js';
import {KVCache, type Refit, compressPrompt} from '../cache/index.js';
import {loadModel} from '../models/index.js';
import {idsOf} from '../models/model_like.js';
import {type Prediction, predictionsOf, referenceOf} from '../src/evaluate/compare_logits.js';
import {evaluate} from '../src/evaluate/index.js';
import {measuredStep} from '../src/evaluate/measured_step.js';
import {type Figure, record} from './support/history.js';
import {printShare} from './support/print_share.js';

const [step, sinks] = [64, 4];

/** The policy of a keeper that keeps so many tokens, by its name; half of them are the newest. */
const policies: Readonly<Record<string, (kept: number) => string>> = {
  sliding: kept => `sliding:window=${kept - sinks}`,
  h2o: kept => `h2o:heavyBudget=${kept / 2},recentBudget=${kept / 2}`,
  'h2o, sums': kept => `h2o:heavyBudget=${kept / 2},recentBudget=${kept / 2},normalize=false`,
  ...Object.fromEntries(
    ['tova', 'snapKv', 'keyDiff', 'expectedAttention', 'dropKv'].map(name => [
      name,
      (kept: number) => `${name}:budget=${kept / 2 - sinks},recent=${kept / 2}`,
    ]),
  ),
};

/** Plans under which one cache sees what these keepers look at, and evicts nothing. */
const observing = {
  'sliding, tova, snapKv, keyDiff, expectedAttention, dropKv': 'snapKv:budget=null,sinks=0,recent=0',
  h2o: 'heaviest:budget=null,sinks=0,recent=64,refit=leastSquares',
} as const;

const {values} = parseArgs({
  options: {
    model: {type: 'string'},
    text: {type: 'string'},
    tokens: {type: 'string'},
    kept: {type: 'string', default: '1024,512,256'},
    keepers: {type: 'string', default: Object.keys(policies).join(';')},
    prompts: {type: 'string'},
    after: {type: 'string', default: '512'},
    refit: {type: 'boolean', default: false},
    fit: {type: 'boolean', default: false},
    record: {type: 'boolean', default: false},
  },
});
/** How tokens that stay take over evicted ones, by what a row's name adds to its keeper's. */
const ways: Readonly<Record<string, Refit>> = {
  '': false,
  ...(values.refit && {', refitted': true}),
  ...(values.fit && {', fitted': 'leastSquares'}),
};

interface Row {
  readonly name: string;
  readonly keeper: string;
  readonly refit: Refit;
}

const rowsOf = (keeper: string): Row[] =>
  Object.entries(ways).map(([ending, refit]) => ({name: keeper + ending, keeper, refit}));

if (values.text === undefined) throw new Error('Give the file of a --text.');
const kept = values.kept.split(',').map(Number);
using loaded = await loadModel(values.model);
const text = await readFile(values.text, 'utf8');
const name = basename(loaded.source, '.gguf');
if (values.prompts === undefined) await recordWhileReading(Number(values.tokens ?? 4096));
else await recordPrompts(Number(values.prompts), Number(values.tokens ?? 2048), Number(values.after));

async function recordWhileReading(tokens: number): Promise<void> {
  const rowsOfKeepers = values.keepers.split(';').flatMap(rowsOf);
  const chosen = kept.flatMap(many => rowsOfKeepers.map(row => ({...row, many})));
  const plans = chosen.map(({keeper, refit, many}) => `${policies[keeper]!(many)},refit=${String(refit)}`);
  const {rows} = await evaluate(loaded, text, {tokens, chunk: step, plans, onProgress: printShare()});
  const figures = rows.slice(1).map((row, i): Figure => {
    const {name: keeper, many} = chosen[i]!;
    const {klDivergence, top1Agreement, perplexity, ratioToFloat32} = row;
    const change = perplexity / rows[0]!.perplexity - 1;
    return {
      keeper,
      kept: many,
      ...rounded({klDivergence, change, top1Agreement, perplexity, ratioToFloat32}),
    };
  });
  await show(
    'keepers',
    `${name}, ${count(tokens)} tokens of ${basename(values.text!)}, ${step} tokens per step`,
    figures,
  );
}

async function recordPrompts(prompts: number, tokens: number, after: number): Promise<void> {
  const ids = idsOf(loaded, text).slice(0, prompts * (tokens + after));
  const keepers = Object.entries(observing).flatMap(([names, plan]) =>
    names
      .split(', ')
      .flatMap(rowsOf)
      .map(row => ({...row, plan})),
  );
  const onProgress = printShare();
  const found = new Map<string, {prediction: Prediction; fullNll: number}[][]>();
  for (let prompt = 0; prompt < prompts; prompt++) {
    const start = prompt * (tokens + after);
    const part = ids.slice(start, start + tokens + after);
    const exact = new KVCache(loaded.model, 'full');
    await read(exact, part.slice(0, tokens));
    const references = await read(exact, part.slice(tokens));
    exact.dispose();
    for (const plan of new Set(Object.values(observing))) {
      const observed = new KVCache(loaded.model, plan);
      await read(observed, part.slice(0, tokens));
      for (const {name: row, keeper, refit} of keepers.filter(each => each.plan === plan)) {
        for (const many of kept) {
          const cut = observed.fork();
          const keep = {name: {sliding: 'window', h2o: 'heaviest'}[keeper] ?? keeper, options: {refit}};
          await compressPrompt(cut, keep, many, {
            sinks,
            recent: Math.min(64, many / 2),
          });
          const predictions = (await read(cut, part.slice(tokens))).flatMap((logits, i) => {
            const reference = referenceOf(references[i]!, logits.length / Math.min(step, after - i * step));
            const targets = part.slice(tokens + i * step + 1, tokens + (i + 1) * step + 1);
            const own = predictionsOf(references[i]!, reference, targets);
            return predictionsOf(logits, reference, targets).map((prediction, at) => ({
              prediction,
              fullNll: own[at]!.nll,
            }));
          });
          cut.dispose();
          const key = JSON.stringify({keeper: row, kept: many});
          found.set(key, [...(found.get(key) ?? []), predictions]);
        }
      }
      observed.dispose();
    }
    onProgress({done: prompt + 1, total: prompts});
  }
  const figures = [...found].map(([key, ofPrompts]): Figure => {
    const all = ofPrompts.flat();
    const losses = ofPrompts.map(each => mean(each.map(({prediction, fullNll}) => prediction.nll - fullNll)));
    const [loss, error] = [mean(losses), standardError(losses)];
    return {
      ...(JSON.parse(key) as Figure),
      ...rounded({
        klDivergence: mean(all.map(({prediction}) => prediction.klDivergence)),
        change: Math.exp(loss) - 1,
        changeError: Math.exp(loss) * error,
        top1Agreement: mean(all.map(({prediction}) => Number(prediction.agrees))),
      }),
    };
  });
  const subject = `${name}, ${prompts} prompts of ${count(tokens)} tokens of ${basename(values.text!)}, ${count(after)} tokens after each`;
  await show('prompts', subject, figures);
}

/** Takes ids into a cache; the logits of each step. */
async function read(cache: KVCache, ids: readonly number[]): Promise<Float32Array[]> {
  const logits: Float32Array[] = [];
  for (let from = 0; from < ids.length; from += step) {
    logits.push((await measuredStep(loaded.model, ids.slice(from, from + step), cache)).logits.slice());
  }
  return logits;
}

async function show(what: string, subject: string, figures: readonly Figure[]): Promise<void> {
  console.log(subject);
  for (const figure of figures) console.log(Object.values(figure).join('  '));
  if (values.record) await record({what, subject, figures});
}

function rounded(figure: Readonly<Record<string, number>>): Figure {
  return Object.fromEntries(
    Object.entries(figure).map(([key, value]) => [key, Number(value.toPrecision(6))]),
  );
}
