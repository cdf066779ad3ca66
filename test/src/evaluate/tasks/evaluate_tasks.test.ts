import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {ContextLengthError, InvalidArgumentError} from '../../../../base/errors.js';
import type {Tokenizer} from '../../../../models/tokenizer/index.js';
import {useBackend} from '../../../../ops/backends/use_backend.js';
import {type Task, type TaskFile, type TaskRow, evaluateTasks} from '../../../../src/evaluate/index.js';
import {rejection} from '../../../base/files/rejection.js';
import {expectNoLeak} from '../../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../../support/tiny_model.js';

const {decode} = characterTokenizer;
const encode: Tokenizer['encode'] = (text, options) =>
  characterTokenizer.encode(text.replaceAll('\n', ' '), options); // it has no line breaks

describe('evaluateTasks', () => {
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel(3);
  });
  after(() => void model.dispose());
  const loaded = (contextLength = 2000) => ({
    model,
    tokenizer: {...characterTokenizer, encode},
    contextLength,
  });

  /** The text that the model writes after another one, token by token without a cache: what the full cache has to find. */
  function greedy(text: string, tokens: number): string {
    const ids = encode(text);
    for (let i = 0; i < tokens; i++) ids.push(best(logitsAfter(ids)));
    return decode(ids.slice(-tokens));
  }
  function logitsAfter(ids: readonly number[]): Float32Array {
    return tf.tidy(() => {
      const logits = model.apply(tf.tensor2d([...ids], [1, ids.length], 'int32')) as tf.Tensor3D;
      return logits.slice([0, ids.length - 1, 0], [1, 1, -1]).dataSync<'float32'>();
    });
  }
  const best = (logits: Float32Array) => logits.indexOf(Math.max(...logits));

  const context = 'It was the best of times, it was the worst of times, it was the age of wisdom.';
  const file = (...questions: TaskFile['samples'][number]['questions']): TaskFile => ({
    name: 'mine',
    samples: [{context, questions}],
  });
  const ask = {question: ' What was it?', answerPrefix: ' It was'};

  it('finds what greedy generation writes, whatever the candidates', async () => {
    const answer = greedy(context + ask.question + ask.answerPrefix, 3);
    const wrong = answer === 'abc' ? 'abd' : 'abc';
    const {rows, answers, tokens, longestContext} = await evaluateTasks(
      loaded(),
      file({...ask, answers: [answer]}, {...ask, answers: [wrong]}),
    );
    expect(answers.map(({written}) => written)).to.deep.equal([answer, answer]);
    expect(answers.map(({found}) => found)).to.deep.equal([1, 0]);
    expect([tokens, longestContext]).to.deep.equal([1000, encode(context).length]);
    expect(rows).to.have.length(1);
    expect(rows[0]).to.include({
      task: 'mine',
      plan: 'full',
      questions: 2,
      found: 0.5,
      foundStderr: 0.5,
      lost: 0,
    });
    expect(rows[0])
      .to.include({gained: 0, signTest: 1, ratioToFloat32: 1})
      .and.to.not.have.property('chosen');
  });

  it('gives the log-probability of the answer among candidates of several tokens', async () => {
    const candidates = ['abc', 'ab', 'zebra', '!'];
    const logProbability = (text: string) => {
      const ids = encode(context + ask.question + ask.answerPrefix);
      return encode(text, {addSpecial: false}).reduce((sum, id) => {
        const logits = Float64Array.from(logitsAfter(ids));
        const total = logits.reduce((all, logit) => all + Math.exp(logit), 0);
        ids.push(id);
        return sum + logits[id]! - Math.log(total);
      }, 0);
    };
    const scores = candidates.map(logProbability);
    const sum = scores.reduce((all, score) => all + Math.exp(score), 0);
    for (const [i, answer] of candidates.entries()) {
      const {answers, rows} = await evaluateTasks(loaded(), file({...ask, answers: [answer], candidates}));
      expect(answers[0]!.logProbability).to.be.closeTo(scores[i]! - Math.log(sum), 1e-4);
      expect(answers[0]!.isChosen).to.equal(scores[i] === Math.max(...scores));
      expect(rows[0]!.chance).to.equal(0.25);
    }
  });

  it('pairs each plan with the full cache: a window loses what is behind it, codes of 8 bits do not', async () => {
    const answer = greedy(context + ask.question + ask.answerPrefix, 4);
    const candidates = [answer, 'sea', 'wind'];
    const {rows, answers} = await evaluateTasks(loaded(), file({...ask, answers: [answer], candidates}), {
      plans: ['quantized:bits=8,groupSize=8', 'sliding:window=4'],
      chunk: 8,
    });
    const [full, codes, window] = rows as [TaskRow, TaskRow, TaskRow];
    expect(rows.map(({plan}) => plan)).to.deep.equal(['full', 'quantized:groupSize=8', 'sliding:window=4']);
    expect([full.found, codes.found]).to.deep.equal([1, 1]);
    expect(full).to.include({logProbabilityChange: 0, lost: 0, gained: 0});
    expect(Math.abs(codes.logProbabilityChange!)).to.be.within(1e-6, 0.2);
    expect(Math.abs(window.logProbabilityChange!)).to.be.above(Math.abs(codes.logProbabilityChange!));
    expect(window.lost).to.equal(1 - window.found);
    expect(window.ratioToFloat32).to.be.below(0.25);
    expect(answers).to.have.length(3);
  });

  it('asks each question of the context alone, and a second one after the first', async () => {
    const earlier = ' Who was it? It was he.';
    const alone = file({...ask, answers: ['x'], candidates: ['x', 'y']});
    const both = file(
      {...ask, answers: ['x'], candidates: ['x', 'y']},
      {...ask, answers: ['x'], candidates: ['x', 'y']},
    );
    const after = file({...ask, earlier, answers: ['x'], candidates: ['x', 'y']});
    const inContext: TaskFile = {
      name: 'mine',
      samples: [{...after.samples[0]!, context: context + earlier, questions: alone.samples[0]!.questions}],
    };
    const probability = async (task: TaskFile) =>
      (await evaluateTasks(loaded(), task)).answers.map(({logProbability}) => logProbability!);
    const [first] = await probability(alone);
    expect(await probability(both)).to.deep.equal([first, first]);
    const [second] = await probability(after);
    expect(second).to.not.be.closeTo(first!, 1e-4);
    expect(second).to.be.closeTo((await probability(inContext))[0]!, 1e-4);
  });

  it('takes the tasks of the package and of others, in as many contexts as the questions need', async () => {
    const mine: Task = {
      name: 'parity',
      description: 'whether the seed is even',
      sample: ({seed, tokens}) => ({
        context: 'word '.repeat(tokens / 8),
        questions: [{...ask, answers: [String(seed % 2)], candidates: ['0', '1']}],
      }),
    };
    const {rows, answers, tokens, seed} = await evaluateTasks(loaded(), [mine, 'multiKey'], {
      questions: 3,
      tokens: 800,
      seed: 7,
    });
    expect({tokens, seed}).to.deep.equal({tokens: 800, seed: 7});
    expect(rows.map(({task, questions}) => [task, questions])).to.deep.equal([
      ['parity', 3],
      ['multiKey', 3],
    ]);
    expect(answers.map(({context}) => context)).to.deep.equal([0, 1, 2, 0, 0, 0]);
    expect(new Set(answers.slice(3).map(({question}) => question)).size).to.equal(3);
    expect(rows[1]!.chance).to.equal(1 / 8);
  });

  it('gives each kind of question rows of its own', async () => {
    const asked = {...ask, answers: ['x'], candidates: ['x', 'y']};
    const task = file({...asked, kind: 'one'}, {...asked, kind: 'other'}, {...asked, kind: 'one'});
    const {rows, answers} = await evaluateTasks(loaded(), task, {plans: ['sliding:window=4']});
    expect(rows.map(({task: name, plan, questions}) => [name, plan, questions])).to.deep.equal([
      ['mine: one', 'full', 2],
      ['mine: one', 'sliding:window=4', 2],
      ['mine: other', 'full', 1],
      ['mine: other', 'sliding:window=4', 1],
    ]);
    expect(answers.map(({task: name}) => name.slice(6))).to.deep.equal([
      'one',
      'other',
      'one',
      'one',
      'other',
      'one',
    ]);
  });

  it('counts matches of files: the share of the answers that occur', async () => {
    const text = greedy(context + ask.question + ask.answerPrefix, 6);
    const part = text.slice(1, 4).toUpperCase();
    const {answers} = await evaluateTasks(
      loaded(),
      file({...ask, answers: [part, 'never this'], match: 'contains', newTokens: 6}),
    );
    expect(answers[0]).to.include({written: text, found: 0.5});
  });

  it('tells its progress, stops when it is told to, and leaks nothing', async () => {
    const seen: number[] = [];
    const options = {plans: ['sliding:window=4'], chunk: 32} as const;
    await expectNoLeak(() =>
      evaluateTasks(loaded(), file({...ask, answers: ['x'], candidates: ['x', 'yes']}), {
        ...options,
        onProgress: ({done, total}) => seen.push(done / total),
      }).then(() => undefined),
    );
    expect(seen.at(-1)).to.equal(1);
    const controller = new AbortController();
    const stopped = evaluateTasks(loaded(), file({...ask, answers: ['x']}), {
      ...options,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await rejection(stopped, DOMException, /abort/i);
  });

  it('refuses what it cannot measure, before anything is computed', async () => {
    const tensors = tf.memory().numTensors;
    const good = {...ask, answers: ['x']};
    const notTyped: readonly (readonly [object, RegExp])[] = [
      [{answerPrefix: undefined}, /task mine: questions.0.answerPrefix/],
      [{question: 5}, /question = 5; expected a text/],
      [{answers: 'x'}, /answers = "x"; expected a list of texts/],
      [{newTokens: 0}, /newTokens = 0/],
      [{newTokens: 2.5}, /newTokens = 2.5/],
      [{match: 'all'}, /match = "all"/],
      [{answer_prefix: 'It is'}, /answer_prefix/],
    ];
    const refusals: readonly (readonly [
      () => Promise<unknown>,
      typeof InvalidArgumentError | typeof ContextLengthError,
      RegExp,
    ])[] = [
      [() => evaluateTasks(loaded(), 'nedle'), InvalidArgumentError, /no task "nedle".*"needle"/],
      [() => evaluateTasks(loaded(), []), InvalidArgumentError, /no tasks/],
      [
        () => evaluateTasks(loaded(), ['copy', 'kv', 'copy']),
        InvalidArgumentError,
        /two tasks called "copy".* give it another name/,
      ],
      [
        () => evaluateTasks(loaded(), [file(good), file(good)]),
        InvalidArgumentError,
        /two tasks called "mine".* rename one of the files, or the "task" of its rows/,
      ],
      [() => evaluateTasks(loaded(), 'needle', {questions: 0}), InvalidArgumentError, /questions = 0/],
      [() => evaluateTasks(loaded(), 'needle', {tokens: 0}), InvalidArgumentError, /tokens = 0/],
      [() => evaluateTasks(loaded(), 'needle', {seed: 1.5}), InvalidArgumentError, /seed = 1.5/],
      [
        () => evaluateTasks(loaded(), 'needle', {tokens: 20}),
        InvalidArgumentError,
        /needle has no room in a context of 20 tokens/,
      ],
      [() => evaluateTasks(loaded(), 'needle', {prose: 'no sentence'}), InvalidArgumentError, /no sentences/],
      [
        () => evaluateTasks(loaded(1200), 'multiKey', {tokens: 1190}),
        ContextLengthError,
        /The task multiKey takes 1,2\d\d tokens .* holds 1,200/,
      ],
      [() => evaluateTasks(loaded(), file()), InvalidArgumentError, /no questions/],
      [
        () => evaluateTasks(loaded(), {name: 'mine', samples: []}),
        InvalidArgumentError,
        /task mine has no questions/,
      ],
      [() => evaluateTasks(loaded(), 'needle', {plans: ['0.001x']}), InvalidArgumentError, /0.001x/],
      [() => evaluateTasks(loaded(), file({...good, answers: []})), InvalidArgumentError, /no answer/],
      [() => evaluateTasks(loaded(), file({...good, answers: ['']})), InvalidArgumentError, /empty/],
      [
        () => evaluateTasks(loaded(), file({...good, question: '', answerPrefix: ''})),
        InvalidArgumentError,
        /no text/,
      ],
      [
        () => evaluateTasks(loaded(), file({...good, candidates: ['y']})),
        InvalidArgumentError,
        /lack its answer/,
      ],
      [
        () => evaluateTasks(loaded(), file({...good, answers: ['x'], candidates: ['x', 'y', 'y']})),
        InvalidArgumentError,
        /candidates of a question of the task mine are .*different/,
      ],
      [
        () => evaluateTasks(loaded(), file({...good, answers: ['x'], candidates: ['x', '']})),
        InvalidArgumentError,
        /none of them empty/,
      ],
      ...notTyped.map(([change, message]) => {
        const given = file({...good, ...change});
        return [() => evaluateTasks(loaded(), given), InvalidArgumentError, message] as const;
      }),
      [
        () => evaluateTasks(loaded(), {name: 'mine', description: '', sample: () => null as never}),
        InvalidArgumentError,
        /task mine: null was given/,
      ],
      [() => evaluateTasks(model, 'needle'), InvalidArgumentError, /without a tokenizer/],
      [() => evaluateTasks(loaded(), 'needle', {plans: ['quantised']}), InvalidArgumentError, /quantized/],
    ];
    for (const [refused, error, message] of refusals) await rejection(refused(), error, message);
    expect(tf.memory().numTensors).to.equal(tensors);
  });
});
