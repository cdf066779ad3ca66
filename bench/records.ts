/**
 * Records in a long text, as in needle tests:
 *
 *     npx tsx bench/records.ts [--model M] [--contexts 8] [--records 8] [--tokens 1500] [--share 0.1] [--seed 1] [--record]
 *
 * Each context is prose with sentences such as "The password of Amber is tiger." at equal distances: other names and words each time, every
 * word one token. A plan takes in a context once, 64 tokens per step; each question continues a fork of its cache. An answer is right if
 * its word has the largest logit of all tokens (what greedy generation writes), or of the words of the context. `transform` has the bits
 * at which the whole cache takes `--share` of float32 at the end of a context. `--record` appends the run to bench/history/records.jsonl.
 */
import {basename} from 'node:path';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs';
import {seededRandom} from '../base/random.js';
import {mean, standardError} from '../base/statistics.js';
import {count} from '../base/units.js';
import {KVCache} from '../cache/index.js';
import {type LoadedModel, embeddedText, loadModel, profileFor} from '../models/index.js';
import {bitsOfSize, stepsOf} from './support/bits_of_size.js';
import {type Figure, record} from './support/history.js';

const names = (
  'Amber Arthur Bella Bruno Carla Cedric Clara Conrad Daisy Daniel Diana Edgar Edith Elena Ernest Fiona Flora Frank Gavin Grace Gustav ' +
  'Hannah Harold Helen Hugo Irene Isaac Ivan Jasper Julia Kevin Laura Leo Linda Lucas Mabel Martin Monica Nadia Nathan Nora Oliver Oscar ' +
  'Paula Peter Quentin Rachel Ralph Rosa Rupert Sandra Simon Sofia Stella Thomas Tina Ursula Victor Vera Walter Wanda Xavier Yvonne Zoe'
).split(' ');
const words = (
  'tiger bridge apple silver garden window river castle orange hammer pepper lemon rabbit forest mirror candle button ladder basket ocean ' +
  'copper valley violin pencil coffee desert monkey anchor island planet winter summer thunder blanket cotton feather dragon turtle marble ' +
  'carpet diamond engine falcon ginger helmet insect jacket kitchen magnet needle onion pillow rocket saddle temple umbrella velvet wagon ' +
  'butter camera doctor eagle flower guitar honey ivory jungle letter museum nickel oyster parrot quartz ribbon salmon tunnel'
).split(' ');

/** The text that asks for a record; the next token is its word. */
const question = (name: string) =>
  `\n\nQuestion: What is the password of ${name}?\nAnswer: The password of ${name} is`;
const chunk = 64;

interface Context {
  readonly ids: readonly number[];
  readonly records: readonly {readonly name: string; readonly word: number}[];
}

/** What a plan made of one question. */
interface Answer {
  readonly isWritten: boolean;
  readonly isChosen: boolean;
  /** log of the right word's probability among the words of the context. */
  readonly logProbability: number;
}

const {values} = parseArgs({
  options: {
    model: {type: 'string'},
    contexts: {type: 'string', default: '8'},
    records: {type: 'string', default: '8'},
    tokens: {type: 'string', default: '1500'},
    share: {type: 'string', default: '0.1'},
    seed: {type: 'string', default: '1'},
    record: {type: 'boolean', default: false},
  },
});
const [contextCount, recordCount, tokens, share, seed] = [
  values.contexts,
  values.records,
  values.tokens,
  values.share,
  values.seed,
].map(Number) as [number, number, number, number, number];

using loaded = await loadModel(values.model);
const profile = await profileFor(loaded);
if (profile === undefined) throw new Error(`${loaded.name} has no packaged profile: give another --model.`);
const contexts = await contextsOf(loaded);
const bits = bitsOfSize(loaded, profile, {steps: stepsOf(contexts[0]!.ids.length, chunk), share}).toFixed(2);
const budget = Math.floor((0.2 * tokens) / 2);
const plans = [
  'full',
  'quantized:bits=8',
  'quantized:bits=4,groupSize=32',
  `transform:bits=${bits}`,
  'quantized:bits=2,groupSize=32',
  `h2o:heavyBudget=${budget},recentBudget=${budget}`,
];
const figures: Figure[] = [];
let exact: readonly Answer[] | undefined;
for (const plan of plans) {
  const {answers, ratioToFloat32} = await answersOf(plan);
  exact ??= answers;
  const figure = figureOf(plan, answers, exact, ratioToFloat32);
  figures.push(figure);
  console.log(figure);
}
const subject = `${basename(loaded.source, '.gguf')}, ${contextCount} contexts of ${count(tokens)} tokens with ${recordCount} records each, seed ${seed}`;
if (values.record) await record({what: 'records', subject, figures});

async function contextsOf({tokenizer}: LoadedModel): Promise<Context[]> {
  const random = seededRandom(seed);
  const encode = (text: string) => tokenizer.encode(text, {addSpecial: false, parseSpecial: false});
  const oneToken = words.filter(word => encode(` ${word}`).length === 1);
  const prose = await embeddedText('heldOut');
  const sentences = prose.replaceAll(/\s+/g, ' ').match(/[A-Z][^.?!]*[.?!]/g) ?? [];
  let next = 0;
  return Array.from({length: contextCount}, () => {
    const chosen = shuffled(oneToken, random).slice(0, recordCount);
    const records = shuffled(names, random)
      .slice(0, recordCount)
      .map((name, i) => ({
        name,
        word: encode(` ${chosen[i]!}`)[0]!,
        text: ` The password of ${name} is ${chosen[i]!}.`,
      }));
    const ids = [...encode('Remember the passwords.')];
    const longest = Math.max(...records.map(({text}) => encode(text).length));
    for (const [i, {text}] of records.entries()) {
      const end = (tokens - ids.length) / (records.length - i) + ids.length - longest;
      while (ids.length < end)
        ids.push(
          ...encode(` ${sentences[next++ % sentences.length]!}`).slice(0, Math.ceil(end - ids.length)),
        );
      ids.push(...encode(text));
    }
    return {ids, records};
  });
}

async function answersOf(plan: string): Promise<{answers: Answer[]; ratioToFloat32: number}> {
  const answers: Answer[] = [];
  let ratioToFloat32 = 0;
  for (const {ids, records} of contexts) {
    const cache = new KVCache(loaded.model, plan, {expectedTokens: ids.length});
    for (let from = 0; from < ids.length; from += chunk) {
      await logitsOf(ids.slice(from, from + chunk), cache);
    }
    const float32 = cache.report().reduce((sum, depth) => sum + depth.float32Bytes, 0);
    ratioToFloat32 += cache.byteSize / float32 / contexts.length;
    for (const {name, word} of records) {
      const fork = cache.fork();
      const asked = loaded.tokenizer.encode(question(name), {addSpecial: false, parseSpecial: false});
      answers.push(
        answerOf(
          await logitsOf(asked, fork),
          word,
          records.map(other => other.word),
        ),
      );
      fork.dispose();
    }
    cache.dispose();
  }
  return {answers, ratioToFloat32};
}

async function logitsOf(ids: readonly number[], cache: KVCache): Promise<Float32Array> {
  const logits = tf.tidy(
    () =>
      loaded.model.apply(tf.tensor2d([...ids], [1, ids.length], 'int32'), {
        cache,
        lastTokenOnly: true,
      }) as tf.Tensor,
  );
  const numbers = await logits.data<'float32'>();
  logits.dispose();
  return numbers;
}

function answerOf(logits: Float32Array, word: number, candidates: readonly number[]): Answer {
  const right = logits[word]!;
  const sum = candidates.reduce((total, candidate) => total + Math.exp(logits[candidate]! - right), 0);
  return {
    isWritten: logits.every(logit => logit <= right),
    isChosen: candidates.every(candidate => logits[candidate]! <= right),
    logProbability: -Math.log(sum),
  };
}

function figureOf(
  plan: string,
  answers: readonly Answer[],
  exact: readonly Answer[],
  ratioToFloat32: number,
): Figure {
  const share = (of: 'isWritten' | 'isChosen') => mean(answers.map(answer => Number(answer[of])));
  const differences = answers.map((answer, i) => answer.logProbability - exact[i]!.logProbability);
  const lost = exact.filter((answer, i) => answer.isWritten && !answers[i]!.isWritten).length;
  const gained = exact.filter((answer, i) => !answer.isWritten && answers[i]!.isWritten).length;
  const [written, chosen] = [share('isWritten'), share('isChosen')];
  const error = (of: number) => Math.sqrt((of * (1 - of)) / answers.length);
  return {
    ...{
      plan,
      ratioToFloat32,
      written,
      writtenError: error(written),
      chosen,
      chosenError: error(chosen),
    },
    ...{lost, gained, signTest: signTest(lost, gained)},
    logProbability: mean(answers.map(({logProbability}) => logProbability)),
    difference: mean(differences),
    differenceError: standardError(differences),
  };
}

/** The probability of a split at least as uneven as this if both were as likely (McNemar's exact test, two-sided). */
function signTest(a: number, b: number): number {
  const count = a + b;
  let [term, sum] = [0.5 ** count, 0];
  for (let k = 0; k <= Math.min(a, b); k++) {
    sum += term;
    term *= (count - k) / (k + 1);
  }
  return Math.min(1, 2 * sum);
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  return list
    .map(item => ({item, at: random()}))
    .sort((a, b) => a.at - b.at)
    .map(({item}) => item);
}
