import {count, counted, fixed, percent, small, timesSmaller} from '../../base/units.js';
import type {TaskEvaluation, TaskRow} from '../evaluate/index.js';
import {type Column, type NamedColumns, type TableOptions, columnsOf, tableText} from './table.js';
import {outputWidth} from './terminal.js';
import {wrappedText} from './wrap.js';

const columnNames = [
  'task',
  'plan',
  'found',
  'lost',
  'gained',
  'chosen',
  'logProbability',
  'float32',
  'chance',
  'signTest',
] as const;

/** Returns the answers to the questions of tasks as text: a row for each task and plan. */
export function taskText(evaluation: TaskEvaluation, {width = outputWidth()}: TableOptions = {}): string {
  return [
    wrappedText(`${taskHeading(evaluation)}.`, width),
    '',
    tableText(taskColumns(), evaluation.rows, {width, elsewhere: '--json has all'}),
    '',
    wrappedText(taskNote, width),
  ].join('\n');
}

/** "Tasks: 16 questions each about contexts of up to 1,000 tokens, 64 tokens per pass, seed 1" */
export function taskHeading({longestContext, chunk, seed, rows}: TaskEvaluation): string {
  const numbers = [...new Set(rows.map(({questions}) => questions))];
  const most = Math.max(...numbers);
  const questions = numbers.length === 1 ? counted(most, 'question') : `up to ${counted(most, 'question')}`;
  return `Tasks: ${questions} each about contexts of up to ${counted(longestContext, 'token')}, ${counted(chunk, 'token')} per pass, seed ${count(seed)}`;
}

export const taskNote =
  'Found: greedy generation writes the answer, ± the standard error over questions. Lost and gained: questions that the full cache answers ' +
  'better, and those that the plan does. Chosen: the answer is the most probable of its candidates. ln p: the log-probability of the answer ' +
  'among the candidates less that of the full cache, nats.';

export function taskColumns(): Column<TaskRow>[] {
  const withError = (value: number | undefined, error: number | undefined) =>
    value === undefined ? '-' : `${percent(value, 0)} ± ${percent(error ?? NaN, 0)}`;
  const columns: NamedColumns<(typeof columnNames)[number], TaskRow> = {
    task: {head: 'task', cell: ({task}) => task, align: 'left'},
    plan: {head: 'plan', cell: ({plan}) => plan, align: 'left'},
    found: {head: 'found', cell: ({found, foundStderr}) => withError(found, foundStderr)},
    lost: {head: 'lost', cell: ({lost}) => count(lost)},
    gained: {head: 'gained', cell: ({gained}) => count(gained)},
    chosen: {head: 'chosen', cell: ({chosen, chosenStderr}) => withError(chosen, chosenStderr)},
    logProbability: {
      head: 'ln p than full',
      cell: ({logProbabilityChange, logProbabilityChangeStderr}) =>
        logProbabilityChange === undefined
          ? '-'
          : `${fixed(logProbabilityChange, 2)} ± ${fixed(logProbabilityChangeStderr ?? NaN, 2)}`,
    },
    float32: {head: 'than float32', cell: ({ratioToFloat32}) => timesSmaller(1 / ratioToFloat32)},
    chance: {
      head: 'chosen by chance',
      cell: ({chance}) => (chance === undefined ? '-' : percent(chance, 0)),
      extra: true,
    },
    signTest: {head: 'sign test', cell: ({signTest}) => small(signTest), extra: true},
  };
  return columnsOf(columnNames, columns);
}
