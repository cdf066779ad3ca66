import {readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../../base/errors.js';
import {embeddedText, loadModel} from '../../../../models/index.js';
import type {Tokenizer} from '../../../../models/tokenizer/index.js';
import {asTask} from '../../../../src/evaluate/tasks/as_task.js';
import * as tasks from '../../../../src/evaluate/tasks/kinds/index.js';
import type {Task, TaskQuestion, TaskSetting} from '../../../../src/evaluate/tasks/task.js';
import {root} from '../../../../tools/markdown_pages.js';
import {characterTokenizer} from '../../../support/tiny_model.js';

const lengths = [900, 1800];

describe('tasks', () => {
  let prose: string;
  let tokenizers: readonly (readonly [name: string, tokenizer: Tokenizer, unit: number])[];
  before(async () => {
    prose = await embeddedText('heldOut');
    using loaded = await loadModel();
    tokenizers = [
      ['embedded', loaded.tokenizer, 1],
      ['characters', characterTokenizer, 4], // of which a text has as many times more
    ];
  });
  const setting = (tokenizer: Tokenizer, tokens: number, seed = 1): TaskSetting => ({
    ...{seed, tokens, tokenizer, prose},
  });

  it('are those of the folder, by the names of their files', async () => {
    const files = await readdir(join(root, 'src/evaluate/tasks/kinds'));
    const camel = (file: string) =>
      file.replace(/[.]ts$/, '').replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const expected = files.filter(file => file !== 'index.ts').map(camel);
    expect(Object.keys(tasks).sort()).to.deep.equal(expected.sort());
    for (const [name, task] of Object.entries(tasks)) expect(task.name).to.equal(name);
  });

  for (const task of Object.values<Task>(tasks)) {
    describe(task.name, () => {
      it('fills its length, and no more', () => {
        for (const [name, tokenizer, unit] of tokenizers) {
          for (const tokens of lengths.map(length => unit * length)) {
            for (const seed of [1, 2, 3]) {
              const {context} = task.sample(setting(tokenizer, tokens, seed));
              const count = tokenizer.encode(context).length;
              expect(count, `${name}, ${tokens}`).to.be.within(0.8 * tokens, tokens);
            }
          }
        }
      });

      it('is the same for a seed, and another for another', () => {
        const [, tokenizer] = tokenizers[0]!;
        const sample = task.sample(setting(tokenizer, 900));
        expect(task.sample(setting(tokenizer, 900))).to.deep.equal(sample);
        expect(task.sample(setting(tokenizer, 900, 2))).to.not.deep.equal(sample);
      });

      it('has one right answer among several, which only the context tells', () => {
        for (const [, tokenizer, unit] of tokenizers) {
          for (const seed of [1, 2, 3]) {
            const {context, questions} = task.sample(setting(tokenizer, unit * 900, seed));
            expect(questions).to.not.be.empty;
            const asked = questions.map(({question, answerPrefix}) => question + answerPrefix);
            expect(new Set(asked).size, 'different questions').to.equal(asked.length);
            for (const question of questions) expectFair(question, context, task.name);
          }
        }
      });

      it('says what length it needs', () => {
        const [, tokenizer] = tokenizers[0]!;
        expect(() => task.sample(setting(tokenizer, 10))).to.throw(
          InvalidArgumentError,
          new RegExp(`${task.name} .*10 tokens.*at least \\d+`),
        );
      });
    });
  }

  it('have names, of which an unknown one says the nearest', () => {
    expect(asTask('needle')).to.equal(tasks.needle);
    expect(() => asTask('nedle')).to.throw(InvalidArgumentError, /no task "nedle".*Did you mean "needle"\?$/);
    expect(() => asTask({name: 'x'} as unknown as Task)).to.throw(InvalidArgumentError, /expected/);
  });
});

function expectFair(
  {question, answerPrefix, answers, candidates = []}: TaskQuestion,
  context: string,
  task: string,
) {
  const [answer = ''] = answers;
  expect(answers).to.have.length(1);
  expect(candidates).to.include(answer);
  expect(new Set(candidates).size).to.equal(candidates.length);
  expect(candidates.length).to.be.within(4, 8);
  if (task !== 'summary') expect(context).to.include(answer.trim());
  const asked = question + answerPrefix;
  expect(candidates.filter(candidate => asked.includes(candidate.trim()))).to.deep.equal([]);
}
