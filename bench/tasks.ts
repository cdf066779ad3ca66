/**
 * What plans forget: tasks at several lengths, by every keeper at shares of the tokens, and by codecs that keep all tokens.
 *
 *     npx tsx bench/tasks.ts [--model M] [--task mixed]... [--context 1000]... [--keeper h2o]... [--questions 60] [--seed 1] [--record]
 *
 * Prints a line per task, length and plan. `--record` appends a run for each length to bench/history/tasks.jsonl as soon as it is measured; tables and the
 * chart take the newest figure of each case from all runs.
 * A new keeper is one entry in bench/support/budgets.ts; `--keeper NAME` measures it alone beside `full`, on the same questions.
 */
import {basename} from 'node:path';
import {parseArgs} from 'node:util';
import {loadModel} from '../models/index.js';
import {type TaskRow, evaluateTasks} from '../src/evaluate/index.js';
import {codecs, keepers, shares} from './support/budgets.js';
import {type Figure, record} from './support/history.js';
import {printShare} from './support/print_share.js';

/** Stands for the plans that keep all tokens. */
const allTokens = 'codecs';

const {values} = parseArgs({
  options: {
    model: {type: 'string'},
    task: {type: 'string', multiple: true, default: ['mixed']},
    context: {type: 'string', multiple: true, default: ['1000', '2000', '4000']},
    keeper: {type: 'string', multiple: true, default: [...Object.keys(keepers), allTokens]},
    questions: {type: 'string', default: '60'},
    seed: {type: 'string', default: '1'},
    record: {type: 'boolean', default: false},
  },
});
const [questions, seed] = [Number(values.questions), Number(values.seed)];

using loaded = await loadModel(values.model);
for (const tokens of values.context.map(Number)) {
  const cases = values.keeper.flatMap(keeper => casesOf(keeper, tokens));
  const figures: Figure[] = [];
  for (const task of values.task) {
    const {rows} = await evaluateTasks(loaded, task, {
      plans: cases.map(({plan}) => plan),
      ...{tokens, questions, seed},
      onProgress: printShare(),
    });
    for (const [i, row] of rows.entries()) {
      const index = i % (cases.length + 1); // each kind of question has a row for full and for each case
      const figure: Figure = {
        tokens,
        seed,
        ...figureOf(row, index === 0 ? {keeper: 'full', share: '1'} : cases[index - 1]!),
      };
      figures.push(figure);
      console.log(Object.values(figure).join('  '));
    }
  }
  const subject = `${basename(loaded.source, '.gguf')}, tasks`;
  if (values.record) await record({what: 'tasks', subject, figures});
}

function casesOf(keeper: string, tokens: number): {keeper: string; share: string; plan: string}[] {
  if (keeper === allTokens) return codecs.map(plan => ({keeper: plan.split(':')[0]!, share: '1', plan}));
  const planOf = keepers[keeper];
  if (planOf === undefined)
    throw new Error(`No keeper ${keeper}: expected ${Object.keys(keepers).join(', ')} or ${allTokens}.`);
  return shares.map(share => ({keeper, share: `1/${1 / share}`, plan: planOf(Math.round(share * tokens))}));
}

function figureOf(row: TaskRow, {keeper, share}: {keeper: string; share: string}): Figure {
  const {task, plan, questions: asked, lost, gained} = row;
  const rounded = (value = NaN) => Number(value.toPrecision(5));
  return {
    ...{task, keeper, share, plan, questions: asked, ratioToFloat32: rounded(row.ratioToFloat32)},
    ...{found: rounded(row.found), foundError: rounded(row.foundStderr), lost, gained},
    ...{chosen: rounded(row.chosen), chosenError: rounded(row.chosenStderr), chance: rounded(row.chance)},
    logProbability: rounded(row.logProbability),
    difference: rounded(row.logProbabilityChange),
    differenceError: rounded(row.logProbabilityChangeStderr),
  };
}
