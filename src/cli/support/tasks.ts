import {basename, resolve} from 'node:path';
import type {Plan} from '../../../cache/plans/plan.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {
  type TaskEvaluation,
  type TaskLike,
  allTasks,
  asTask,
  evaluateTasks,
  parseTaskFile,
  predictionsCsv,
  taskNames,
  writingDivergence,
} from '../../evaluate/index.js';
import {type Asked, askedTexts} from '../../report/asked.js';
import {texts, wholeNumber, withDefault} from './arguments.js';
import {readText} from './files.js';
import {print} from './print.js';
import {withBar} from './progress.js';
import type {NamedText} from './text_args.js';

/** Options of commands that ask questions about long contexts, or let the model write. */
export const taskArgs = {
  task: texts(
    `Also ask questions about long contexts: ${taskNames().join(', ')}; all of them; or a .jsonl, .json or .csv file with the columns of kvpress`,
    'TASK',
  ),
  questions: withDefault(wholeNumber('Questions of each --task, at most'), '16'),
  context: wholeNumber(
    "The most tokens of a context that --task makes. Default: 1000, or what the model's context leaves room for",
  ),
  written: wholeNumber(
    'Also let the full cache write N tokens after the first 64 of the text, and measure the divergence along the way',
  ),
  seed: withDefault(
    wholeNumber('Another seed makes other questions for --task, and another text for --written', 0),
    '1',
  ),
};

/** What was asked for by `taskArgs`. */
export interface AskOptions {
  readonly tasks: readonly TaskLike[];
  readonly questions: number;
  readonly context: number | undefined;
  readonly written: number | undefined;
  readonly seed: number;
}

/**
 * Returns the tasks given to `taskArgs`, each once, in the order of the command line.
 * @throws InvalidArgumentError if there is none of a name, or a file cannot be read; FormatError if it holds no questions.
 */
export async function readTasks(given: readonly string[]): Promise<TaskLike[]> {
  const tasks: TaskLike[] = [];
  const files = new Set<string>();
  for (const name of new Set(given)) {
    if (name === 'all') tasks.push(...allTasks());
    else if (!/[.](?:jsonl?|csv)$/i.test(name)) tasks.push(asTask(name));
    else if (!files.has(resolve(name))) {
      files.add(resolve(name));
      tasks.push(...parseTaskFile(await readText(name), basename(name)));
    }
  }
  return [...new Set(tasks)]; // `all` has others, too
}

/** Whether any of it was asked for. */
export const asksAnything = ({tasks, written}: AskOptions): boolean =>
  tasks.length > 0 || written !== undefined;

/** Asks questions and lets the model write, as far as that was asked for, with progress bars. */
export async function ask(
  loaded: LoadedModel,
  plans: readonly Plan[],
  {tasks, questions, context, written, seed}: AskOptions,
  {text, chunk, signal}: {readonly text: NamedText; readonly chunk: number; readonly signal: AbortSignal},
): Promise<Asked> {
  const running = {plans, seed, chunk, signal};
  const asked =
    tasks.length === 0
      ? undefined
      : await withBar('Asking', onProgress =>
          evaluateTasks(loaded, tasks, {
            ...running,
            ...{questions, prose: text.content, onProgress},
            ...(context !== undefined && {tokens: context}),
          }),
        );
  const writing =
    written === undefined
      ? undefined
      : await withBar('Writing', onProgress =>
          writingDivergence(loaded, text.content, {...running, tokens: written, onProgress}),
        );
  return {...(asked && {tasks: asked}), ...(writing && {writing})};
}

/** Prints what was measured below other tables. */
export function printAsked(asked: Asked): void {
  for (const text of askedTexts(asked)) print(`\n${text}`);
}

/** The most characters of a plan in a file's name: file systems take 255 bytes in all. */
const longestPlanName = 100;

/** The answers of each plan in the format of kvpress, by file names: the start of a long plan, and a number where another has that name. */
export function predictionFiles(evaluation: TaskEvaluation): Record<string, string> {
  const files: Record<string, string> = {};
  for (const plan of new Set(evaluation.rows.map(row => row.plan))) {
    const start = `predictions_${plan.replaceAll(/\W+/g, '_').slice(0, longestPlanName)}`;
    let name = `${start}.csv`;
    for (let number = 2; name in files; number++) name = `${start}_${number}.csv`;
    files[name] = predictionsCsv(evaluation, plan);
  }
  return files;
}
