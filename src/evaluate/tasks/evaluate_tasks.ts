import * as v from 'valibot';
import {InvalidArgumentError} from '../../../base/errors.js';
import {atLeast, checkOptions} from '../../../base/options.js';
import {mean} from '../../../base/statistics.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {type PlanLike, asPlan} from '../../../cache/plans/as_plan.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {full} from '../../../cache/policies/full.js';
import {embeddedText} from '../../../models/embedded_model.js';
import {type ModelLike, contextLengthOf, modelOf, tokenizerOf} from '../../../models/model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../../../models/progress.js';
import {watchText} from '../../../models/watch_text.js';
import {float32BytesOf} from '../cache_bytes.js';
import {planLabel} from '../plan_label.js';
import {type Answering, answerTo} from './answer.js';
import {asTask} from './as_task.js';
import {type PreparedSample, expectFits, prepared} from './prepared.js';
import {
  type Task,
  type TaskFile,
  type TaskLike,
  type TaskSample,
  type TaskSetting,
  checkSample,
} from './task.js';
import {
  type PlanAnswers,
  type TaskAnswer,
  type TaskEvaluation,
  type TaskRow,
  taskRows,
} from './task_evaluation.js';

export interface EvaluateTasksOptions extends ProgressOptions {
  /** Plans to compare with `full`, which always has the first row of a task. Default: none. */
  readonly plans?: readonly PlanLike[];
  /** The most tokens of a context that is made; questions and answers come on top. Default: 1,000, or what the model's context leaves room for. */
  readonly tokens?: number;
  /** Questions of each task, at most. Default 16. */
  readonly questions?: number;
  /** Tokens per forward pass. They attend to each other exactly and are compressed afterwards. Default 64. */
  readonly chunk?: number;
  /** Another seed makes other contexts and questions, a whole number. Default 1. */
  readonly seed?: number;
  /** The text whose sentences stand between what is asked for. Default: the held-out text of the package. */
  readonly prose?: string;
}

const wholeNumber = 'expected a whole number >= 0';

const schema = v.strictObject({
  plans: v.optional(v.custom<readonly PlanLike[]>(Array.isArray, 'expected a list of plans'), []),
  tokens: v.optional(atLeast(1)),
  questions: v.optional(atLeast(1), 16),
  chunk: v.optional(atLeast(1), 64),
  seed: v.optional(v.pipe(v.number(wholeNumber), v.safeInteger(wholeNumber), v.minValue(0, wholeNumber)), 1),
  prose: v.optional(v.string('expected a text')),
  ...progressEntries,
});

/** Tokens of a context by default, and those that are left for a question and its answer. */
const [usualTokens, roomForQuestion] = [1000, 128];

/** A task with its samples as ids. */
interface PreparedTask {
  readonly name: string;
  readonly samples: readonly PreparedSample[];
}

/**
 * Measures what plans forget: asks questions about contexts, and compares the answers with those of the full cache.
 *
 *     const {rows} = await evaluateTasks(model, ['needle', 'copy'], {plans: ['transform:bits=3', 'h2o'], tokens: 2000});
 *
 * A cache of each plan takes in a context once, `chunk` tokens per pass, as `evaluate` does: a keeper decides what stays before the
 * questions come, and memory never holds more than the plan keeps. (With `chunk` as long as the context it is compressed only after it.)
 * Each question then continues a fork. Texts are plain, without a chat template.
 *
 * @param model what `loadModel` returns, or `{model, tokenizer}`.
 * @param tasks names of tasks, tasks of your own, or what `parseTaskFile` returns; one or several. `onProgress` counts tokens of contexts,
 *   of all plans together.
 * @throws InvalidArgumentError for an unknown task, two of one name, options that are not allowed, or a context too short for a task; ContextLengthError,
 *   before anything is computed, if a context with its question is longer than the model's; the signal's reason.
 */
export async function evaluateTasks(
  model: ModelLike,
  tasks: TaskLike | readonly TaskLike[],
  options: EvaluateTasksOptions = {},
): Promise<TaskEvaluation> {
  const {plans, questions, chunk, seed, prose, ...rest} = checkOptions('evaluateTasks', schema, options);
  const [tokenizer, contextLength] = [tokenizerOf(model), contextLengthOf(model)];
  const tokens = rest.tokens ?? Math.max(1, Math.min(usualTokens, contextLength - roomForQuestion));
  const setting = {seed, tokens, tokenizer, prose: prose ?? (await embeddedText('heldOut'))};
  const preparedTasks = listed(tasks).map(task => {
    const name = `task ${task.name}`;
    const samples = samplesOf(task, questions, setting).map(sample => prepared(sample, tokenizer, name));
    for (const sample of samples) expectFits(sample, contextLength, name);
    return {name: task.name, samples};
  });
  const others = plans.map(plan => asPlan(plan)).filter(plan => planLabel(plan) !== 'full');
  const all = [asPlan(full()), ...others];
  for (const plan of all) new KVCache(modelOf(model), plan).dispose(); // refuses what does not fit the model
  const contexts = preparedTasks.flatMap(({samples}) => samples.map(({context}) => context.length));
  const afterChunk = countProgress(all.length * contexts.reduce((sum, length) => sum + length, 0), rest);
  const rows: TaskRow[] = [];
  const answers: TaskAnswer[] = [];
  for (const task of preparedTasks) {
    const ofTask: PlanAnswers[] = [];
    for (const plan of all) {
      ofTask.push(await answersOf(plan, task, {model: modelOf(model), tokenizer, chunk}, afterChunk));
    }
    rows.push(...taskRows(ofTask));
    answers.push(...ofTask.flatMap(ofPlan => ofPlan.answers));
  }
  return {tokens, longestContext: Math.max(...contexts), chunk, seed, rows, answers};
}

function listed(tasks: TaskLike | readonly TaskLike[]): (Task | TaskFile)[] {
  const list = (Array.isArray(tasks) ? tasks : [tasks]) as readonly TaskLike[];
  if (list.length === 0) throw new InvalidArgumentError('There are no tasks; give one or more.');
  const found = list.map(asTask);
  const names = found.map(({name}) => name);
  const twice = found.find(({name}, i) => names.indexOf(name) < i);
  if (twice === undefined) return found;
  const rename =
    'samples' in twice ? 'rename one of the files, or the "task" of its rows' : 'give it another name';
  throw new InvalidArgumentError(
    `There are two tasks called "${twice.name}", whose rows nobody could tell apart; leave one out, or ${rename}.`,
  );
}

/** Samples with this many questions together; a file may have fewer. Each made sample has a seed of its own. */
function samplesOf(task: Task | TaskFile, questions: number, setting: TaskSetting): TaskSample[] {
  const samples: TaskSample[] = [];
  for (let index = 0, left = questions; left > 0; index++) {
    if ('samples' in task && index >= task.samples.length) break;
    const sample =
      'samples' in task
        ? task.samples[index]!
        : task.sample({...setting, seed: setting.seed * seedsPerRun + index});
    checkSample(task.name, sample);
    if (sample.questions.length === 0) throw withoutQuestions(task.name);
    samples.push({...sample, questions: sample.questions.slice(0, left)});
    left -= sample.questions.length;
  }
  if (samples.length === 0) throw withoutQuestions(task.name);
  return samples;
}

const withoutQuestions = (name: string) =>
  new InvalidArgumentError(`The task ${name} has no questions about a context; give one or more.`);

/** Seeds of the samples of neighbouring seeds do not overlap. */
const seedsPerRun = 65_536;

async function answersOf(
  plan: Plan,
  {name, samples}: PreparedTask,
  answering: Answering,
  afterChunk: (tokens: number) => Promise<void>,
): Promise<PlanAnswers> {
  const label = planLabel(plan);
  const answers: TaskAnswer[] = [];
  const ratios: number[] = [];
  for (const [index, {context, questions}] of samples.entries()) {
    const cache = new KVCache(answering.model, plan, {expectedTokens: context.length});
    try {
      await watchText(answering.model, context, {chunk: answering.chunk, cache, watchers: [], afterChunk});
      ratios.push(cache.byteSize / float32BytesOf(cache));
      for (const asked of questions) {
        const {kind, question, answerPrefix, answers: right} = asked.source;
        const task = kind === undefined ? name : `${name}: ${kind}`;
        const counts = {context: index, newTokens: asked.newTokens, candidates: asked.candidates.length};
        const answer = await answerTo(asked, cache, answering);
        answers.push({task, plan: label, question, answerPrefix, answers: right, ...counts, ...answer});
        await afterChunk(0);
      }
    } finally {
      cache.dispose();
    }
  }
  return {plan: label, answers, ratioToFloat32: mean(ratios)};
}
