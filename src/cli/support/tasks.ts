import type {Plan} from '../../../cache/plans/plan.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {
  type TaskEvaluation,
  type TaskLike,
  allTasks,
  evaluateTasks,
  taskNames,
} from '../../evaluate/index.js';
import {asTask} from '../../evaluate/tasks/as_task.js';
import {texts, wholeNumber, withDefault} from './arguments.js';
import {withBar} from './progress.js';

/** Options of commands that ask questions about long contexts. */
export const taskArgs = {
  task: texts(`Also ask questions about long contexts: ${taskNames().join(', ')}; or all`, 'TASK'),
  questions: withDefault(wholeNumber('Questions of each --task'), '16'),
  context: wholeNumber(
    "The most tokens of a context of --task. Default: 1000, or what the model's context leaves room for",
  ),
  seed: withDefault(wholeNumber('Another seed makes other contexts and questions for --task', 0), '1'),
};

interface TaskOptions {
  readonly questions: number;
  readonly context: number | undefined;
  readonly seed: number;
  readonly chunk: number;
  readonly prose: string;
  readonly signal: AbortSignal;
}

/** Returns the tasks given to `taskArgs`, in the order of the command line. @throws InvalidArgumentError if there is none of a name. */
export function readTasks(given: readonly string[]): TaskLike[] {
  return given.flatMap((name): TaskLike[] => (name === 'all' ? allTasks() : [asTask(name)]));
}

/** Asks the questions of tasks, with a progress bar; undefined if there are no tasks. */
export async function tasksOf(
  loaded: LoadedModel,
  tasks: readonly TaskLike[],
  plans: readonly Plan[],
  {context: tokens, ...options}: TaskOptions,
): Promise<TaskEvaluation | undefined> {
  if (tasks.length === 0) return undefined;
  return withBar('Asking', onProgress =>
    evaluateTasks(loaded, tasks, {...options, plans, onProgress, ...(tokens !== undefined && {tokens})}),
  );
}
