import {mean, standardError} from '../../../base/statistics.js';
import type {Answer} from './answer.js';
import type {TaskQuestion} from './task.js';

/** What a plan made of the questions of a task, compared with the full cache of the same model. */
export interface TaskRow {
  /** The name of the task; of one with questions of several kinds "mixed: copy". */
  readonly task: string;
  /** The plan as on the command line: `quantized:bits=4`. */
  readonly plan: string;
  readonly questions: number;
  /** Share of the questions whose answer greedy generation wrote; of files the mean share of the answers. */
  readonly found: number;
  /** Standard error of `found` over questions. */
  readonly foundStderr: number;
  /** Questions that the full cache answered better, and those that this plan did. */
  readonly lost: number;
  readonly gained: number;
  /**
   * The probability of a split of `lost` and `gained` that is at least as uneven, if both caches were as good: McNemar's exact test,
   * two-sided.
   */
  readonly signTest: number;
  /** Share of the questions whose answer is the most probable of its candidates. Absent without candidates, as all that follows but bytes. */
  readonly chosen?: number;
  readonly chosenStderr?: number;
  /** What guessing among the candidates would give. */
  readonly chance?: number;
  /** Mean of ln(p(answer) / sum p(candidate)), nats. */
  readonly logProbability?: number;
  /** Mean difference of it to that of the full cache, and its standard error over questions. */
  readonly logProbabilityChange?: number;
  readonly logProbabilityChangeStderr?: number;
  /** Bytes of the cache at the end of the context, mean over contexts / bytes of its keys and values as float32. */
  readonly ratioToFloat32: number;
}

/** The answer to one question. */
export interface TaskAnswer extends Answer, Pick<TaskQuestion, 'question' | 'answerPrefix' | 'answers'> {
  /** As in the rows. */
  readonly task: string;
  readonly plan: string;
  /** Number of the context, from 0. */
  readonly context: number;
  /** Tokens that could be written. */
  readonly newTokens: number;
  /** Number of the answers to choose from. */
  readonly candidates: number;
}

/** The result of `evaluateTasks`. */
export interface TaskEvaluation {
  /** The most tokens of a context that was made; those of a file are as they are. */
  readonly tokens: number;
  /** Tokens of the longest context that was asked about. */
  readonly longestContext: number;
  /** Tokens per forward pass. */
  readonly chunk: number;
  readonly seed: number;
  /** For each task, and each kind of its questions, a row for `full`, then one for each plan. */
  readonly rows: readonly TaskRow[];
  /** Every answer. */
  readonly answers: readonly TaskAnswer[];
}

/** What a plan made of all questions of a task. */
export interface PlanAnswers {
  readonly plan: string;
  readonly answers: readonly TaskAnswer[];
  /** Mean over contexts. */
  readonly ratioToFloat32: number;
}

/** Returns the rows of a task. @param plans the full cache first. */
export function taskRows(plans: readonly PlanAnswers[]): TaskRow[] {
  const [full] = plans;
  const names = [...new Set(full!.answers.map(({task}) => task))];
  return names.flatMap(name => {
    const ofName = ({answers}: PlanAnswers) => answers.filter(({task}) => task === name);
    return plans.map(plan => taskRow({...plan, answers: ofName(plan)}, ofName(full!)));
  });
}

/** @param exact the answers of the full cache to the same questions. */
function taskRow({plan, answers, ratioToFloat32}: PlanAnswers, exact: readonly TaskAnswer[]): TaskRow {
  const found = answers.map(answer => answer.found);
  const lost = exact.filter((full, i) => full.found > answers[i]!.found).length;
  const gained = exact.filter((full, i) => full.found < answers[i]!.found).length;
  return {
    ...{task: exact[0]!.task, plan, questions: answers.length},
    ...{found: mean(found), foundStderr: standardError(found)},
    ...{lost, gained, signTest: signTest(lost, gained)},
    ...choices(answers, exact),
    ratioToFloat32,
  };
}

/** The measurements among candidates, over the questions that have some. */
function choices(answers: readonly TaskAnswer[], exact: readonly TaskAnswer[]): Partial<TaskRow> {
  const pairs = answers.flatMap(({isChosen, logProbability, candidates}, i) => {
    const full = exact[i]!.logProbability;
    if (isChosen === undefined || logProbability === undefined || full === undefined) return [];
    return [{isChosen: Number(isChosen), logProbability, difference: logProbability - full, candidates}];
  });
  if (pairs.length === 0) return {};
  const differences = pairs.map(({difference}) => difference);
  const chosen = pairs.map(({isChosen}) => isChosen);
  return {
    ...{chosen: mean(chosen), chosenStderr: standardError(chosen)},
    chance: mean(pairs.map(({candidates}) => 1 / candidates)),
    logProbability: mean(pairs.map(({logProbability}) => logProbability)),
    logProbabilityChange: mean(differences),
    logProbabilityChangeStderr: standardError(differences),
  };
}

/** The probability of a split at least as uneven as this if both sides were as likely. */
function signTest(a: number, b: number): number {
  const count = a + b;
  let [term, sum] = [0.5 ** count, 0];
  for (let k = 0; k <= Math.min(a, b); k++) {
    sum += term;
    term *= (count - k) / (k + 1);
  }
  return Math.min(1, 2 * sum);
}
