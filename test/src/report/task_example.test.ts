import {expect} from 'chai';
import type {TaskAnswer, TaskEvaluation} from '../../../src/evaluate/index.js';
import {taskExample} from '../../../src/report/task_example.js';
import {widestLine} from '../cli/support/wide.js';

describe('an example of what a plan forgets', () => {
  const answer = (plan: string, name: string, written: string): TaskAnswer => ({
    ...{task: 'multiKey', context: 0, newTokens: 2, candidates: 8, answers: [' tiger'], plan, written},
    question: `\n\nQuestion: What is the password of ${name}?\n`,
    answerPrefix: `Answer: The password of ${name} is`,
    found: Number(written === ' tiger'),
  });
  const evaluation = (answers: readonly TaskAnswer[]): TaskEvaluation => ({
    ...{tokens: 300, longestContext: 290, chunk: 64, seed: 1, rows: [], answers},
  });

  it('is the question that most plans answer worse than the full cache', () => {
    const text = taskExample(
      evaluation([
        ...[
          answer('full', 'Ivan', ' tiger'),
          answer('full', 'Zoe', ' tiger'),
          answer('full', 'Leo', ' apple'),
        ],
        ...[answer('h2o', 'Ivan', ' apple'), answer('h2o', 'Zoe', ' lemon'), answer('h2o', 'Leo', ' lemon')],
        ...[answer('lru', 'Ivan', ' tiger'), answer('lru', 'Zoe', ' honey'), answer('lru', 'Leo', ' honey')],
      ]),
      60,
    );
    expect(widestLine(text)).to.be.at.most(60);
    expect(text.replaceAll(/\s+/g, ' ')).to.include(
      '"Question: What is the password of Zoe? Answer: The password of Zoe is ..." The answer is "tiger".',
    );
    const rows = text.split('\n').slice(-3);
    expect(rows.map(row => row.trim().split(/\s+/))).to.deep.equal([
      ['full', 'tiger', 'found'],
      ['h2o', 'lemon', 'lost'],
      ['lru', 'honey', 'lost'],
    ]);
  });

  it('is left out if the plans answer everything that the full cache does', () => {
    const same = [answer('full', 'Ivan', ' apple'), answer('h2o', 'Ivan', ' tiger')];
    expect(taskExample(evaluation(same), 60)).to.equal('');
  });
});
