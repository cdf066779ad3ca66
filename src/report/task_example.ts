import type {TaskAnswer, TaskEvaluation} from '../evaluate/index.js';
import {type Column, tableText} from './table.js';
import {outputWidth} from './terminal.js';
import {wrappedText} from './wrap.js';

/**
 * Returns, as text, one question with what each plan wrote: the question that most plans answer worse than the full cache. Empty if no plan
 * answers any question worse.
 * @param width in characters. Default: that of stdout.
 */
export function taskExample({answers}: TaskEvaluation, width = outputWidth()): string {
  const questions = answers
    .filter(({plan}) => plan === 'full')
    .map(full => ({full, rows: answers.filter(other => isSameQuestion(full, other))}));
  const losses = questions.map(({full, rows}) => rows.filter(({found}) => found < full.found).length);
  const most = Math.max(0, ...losses);
  if (most === 0) return '';
  const {full, rows} = questions[losses.indexOf(most)]!;
  const question = `${full.question.trim()} ${full.answerPrefix}`.trim();
  return [
    wrappedText(`One of the questions: "${question} ..." The answer is "${full.answers[0]!.trim()}".`, width),
    '',
    tableText(columns, rows, {width}),
  ].join('\n');
}

const isSameQuestion = (one: TaskAnswer, other: TaskAnswer) =>
  one.task === other.task &&
  one.context === other.context &&
  one.question === other.question &&
  one.answerPrefix === other.answerPrefix;

const columns: Column<TaskAnswer>[] = [
  {name: 'plan', head: 'plan', cell: ({plan}) => plan, align: 'left'},
  {name: 'written', head: 'wrote', cell: ({written}) => written.trim(), align: 'left'},
  {name: 'found', head: '', cell: ({found}) => (found === 1 ? 'found' : 'lost'), align: 'left'},
];
