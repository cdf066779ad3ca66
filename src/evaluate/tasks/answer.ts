import * as tf from '@tensorflow/tfjs';
import type {KVCache} from '../../../cache/kv_cache.js';
import {largest} from '../../../models/generate/sampling.js';
import type {Tokenizer} from '../../../models/tokenizer/index.js';
import {logSumExp} from '../compare_logits.js';
import type {PreparedQuestion} from './prepared.js';
import type {TaskQuestion} from './task.js';

/** What a model with some cache made of a question. */
export interface Answer {
  /** What greedy generation wrote. */
  readonly written: string;
  /** How much of what is right was written: 0 or 1 if the answer has to be exact, else the share of the answers. */
  readonly found: number;
  /** Whether the answer is the most probable of the candidates. Absent without candidates. */
  readonly isChosen?: boolean;
  /** ln(p(answer) / sum p(candidate)), nats. Absent without candidates. */
  readonly logProbability?: number;
}

/** What answers questions: a model, its tokenizer, and how many tokens it takes per pass. */
export interface Answering {
  readonly model: tf.LayersModel;
  readonly tokenizer: Tokenizer;
  readonly chunk: number;
}

/**
 * Asks a question on a fork of a cache, and on forks of that one what each candidate is worth: the cache stays as it is. A candidate of
 * several tokens has the product of their probabilities.
 */
export async function answerTo(
  question: PreparedQuestion,
  cache: KVCache,
  answering: Answering,
): Promise<Answer> {
  const fork = cache.fork();
  try {
    if (question.earlier.length > 0) await take(question.earlier, fork, answering);
    const logits = await take(question.asked, fork, answering);
    const scores: number[] = [];
    for (const candidate of question.candidates) {
      scores.push(await logProbability(candidate, logits, fork, answering));
    }
    const written = await writtenText(question, logits, fork, answering);
    return {written, found: shareFound(written, question.source), ...choice(scores, question.right)};
  } finally {
    fork.dispose();
  }
}

/** Takes ids in, `chunk` tokens per pass. Returns the logits of the last one. */
async function take(
  ids: readonly number[],
  cache: KVCache,
  {model, chunk}: Answering,
): Promise<Float32Array> {
  for (let start = 0; ; start += chunk) {
    const logits = pass(model, ids.slice(start, start + chunk), cache, true);
    try {
      if (start + chunk >= ids.length) return lastOf(await logits.data<'float32'>(), logits);
    } finally {
      logits.dispose();
    }
  }
}

/** A model without a choice of tokens gives the logits of all of them. */
function lastOf(numbers: Float32Array, {shape}: tf.Tensor): Float32Array {
  return numbers.subarray(numbers.length - shape.at(-1)!);
}

function pass(
  model: tf.LayersModel,
  ids: readonly number[],
  cache: KVCache,
  lastTokenOnly: boolean,
): tf.Tensor {
  return tf.tidy(
    () => model.apply(tf.tensor2d([...ids], [1, ids.length], 'int32'), {cache, lastTokenOnly}) as tf.Tensor,
  );
}

/** Returns ln p(ids), nats. @param first the logits of the first id; those of the others come from one pass on a fork. */
async function logProbability(
  ids: readonly number[],
  first: Float32Array,
  cache: KVCache,
  {model}: Answering,
): Promise<number> {
  const vocabSize = first.length;
  const ofFirst = logProbabilityAt(first, 0, vocabSize, ids[0]!);
  if (ids.length === 1) return ofFirst;
  const fork = cache.fork();
  try {
    const logits = pass(model, ids.slice(0, -1), fork, false);
    const numbers = await logits.data<'float32'>();
    logits.dispose();
    return ids
      .slice(1)
      .reduce((sum, id, i) => sum + logProbabilityAt(numbers, i * vocabSize, vocabSize, id), ofFirst);
  } finally {
    fork.dispose();
  }
}

function logProbabilityAt(logits: Float32Array, from: number, vocabSize: number, id: number): number {
  const best = largest(logits, from, from + vocabSize);
  return logits[from + id]! - logSumExp(logits, from, vocabSize, best);
}

/** Writes greedily, token by token, as generation does; until an end token. */
async function writtenText(
  {newTokens}: PreparedQuestion,
  first: Float32Array,
  cache: KVCache,
  answering: Answering,
): Promise<string> {
  const {tokenizer} = answering;
  const ids: number[] = [];
  for (let logits = first; ; logits = await take(ids.slice(-1), cache, answering)) {
    const id = largest(logits);
    if (tokenizer.eosIds.includes(id)) break;
    ids.push(id);
    if (ids.length === newTokens) break;
  }
  return tokenizer.decode(ids);
}

function shareFound(written: string, {answers, match = 'exact'}: TaskQuestion): number {
  if (match === 'exact') return Number(answers.some(answer => answer.trim() === written.trim()));
  const text = written.toLowerCase();
  return answers.filter(answer => text.includes(answer.trim().toLowerCase())).length / answers.length;
}

function choice(scores: readonly number[], right: number): Pick<Answer, 'isChosen' | 'logProbability'> {
  if (right < 0) return {};
  const ofRight = scores[right]!;
  const sum = scores.reduce((total, score) => total + Math.exp(score - ofRight), 0);
  return {isChosen: scores.every(score => score <= ofRight), logProbability: -Math.log(sum)};
}
