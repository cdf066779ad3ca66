import {csvText} from '../../../base/files/csv.js';
import type {TaskEvaluation} from './task_evaluation.js';

const header = [
  'task',
  'question',
  'answer_prefix',
  'answer',
  'max_new_tokens',
  'predicted_answer',
  'compression_ratio',
];

/**
 * Returns what a plan answered as kvpress writes its predictions, which its metrics read: CSV with a record for each question. `answer` is a
 * list as JSON, and `compression_ratio` the share of the bytes of float32 keys and values that the plan saves.
 */
export function predictionsCsv({answers, rows}: TaskEvaluation, plan: string): string {
  const saved = new Map(
    rows.flatMap(row => (row.plan === plan ? [[row.task, 1 - row.ratioToFloat32] as const] : [])),
  );
  const records = answers
    .filter(answer => answer.plan === plan)
    .map(({task, question, answerPrefix, answers: right, newTokens, written}) => [
      ...[task, question, answerPrefix, JSON.stringify(right), String(newTokens), written],
      String(saved.get(task)),
    ]);
  return csvText([header, ...records]);
}
