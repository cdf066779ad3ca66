import {expect} from 'chai';
import {FormatError} from '../../../../base/errors.js';
import {parseCsv} from '../../../../base/files/csv.js';
import {type TaskEvaluation, parseTaskFile, predictionsCsv} from '../../../../src/evaluate/index.js';

const rows = [
  {
    context: 'One.',
    question: 'What?',
    answer_prefix: 'It is',
    answer: ['a', 'b'],
    task: 'niah',
    max_new_tokens: 5,
  },
  {context: 'Two.', question: 'Who?', answer_prefix: '', answer: 'c', task: 'qa', max_new_tokens: 7},
  {context: 'One.', question: 'Where?', answer_prefix: 'At', answer: ['d'], task: 'niah', max_new_tokens: 5},
];
const lines = (...values: readonly unknown[]) => values.map(value => JSON.stringify(value)).join('\n');
const question = (text: string, answerPrefix: string, answers: string[], newTokens: number) => ({
  ...{question: `${text}\n`, answerPrefix, answers, newTokens, match: 'contains'},
});
const expected = [
  {
    name: 'niah',
    samples: [
      {
        context: 'One.',
        questions: [question('What?', 'It is', ['a', 'b'], 5), question('Where?', 'At', ['d'], 5)],
      },
    ],
  },
  {name: 'qa', samples: [{context: 'Two.', questions: [question('Who?', '', ['c'], 7)]}]},
];

describe('parseTaskFile', () => {
  it('reads JSON lines: a task for each name, the questions about one context together', () => {
    expect(parseTaskFile(`${lines(...rows)}\n\n`, 'ruler.jsonl')).to.deep.equal(expected);
  });

  it('reads a JSON list of objects, on one line or many', () => {
    for (const indent of [undefined, 2]) {
      const list = `\uFEFF\n${JSON.stringify(rows, undefined, indent)}\n`;
      expect(parseTaskFile(list, 'ruler.jsonl')).to.deep.equal(expected);
    }
  });

  it('reads CSV, with lists as JSON, Python and NumPy write them', () => {
    const csv = [
      'context,question,answer_prefix,answer,task,max_new_tokens',
      `One.,What?,It is,"['a' 'b']",niah,5`,
      `Two.,Who?,,c,qa,7`,
      `One.,Where?,At,"['d']",niah,5`,
    ].join('\n');
    expect(parseTaskFile(csv, 'ruler.csv')).to.deep.equal(expected);
    const cell = (answer: string) =>
      parseTaskFile(`context,question,answer\nOne.,What?,"${answer.replaceAll('"', '""')}"\n`, 'x.csv')[0]!
        .samples[0]!.questions[0]!;
    expect(cell('["it\'s", "b"]').answers).to.deep.equal(["it's", 'b']);
    expect(cell(`['it\\'s', "b"]`).answers).to.deep.equal(["it's", 'b']);
    expect(cell('[1 to 3]').answers).to.deep.equal(['[1 to 3]']);
    const exact: readonly (readonly [string, readonly string[]])[] = [
      ['["caf\\u00e9 \\ud83d\\ude42", "a\\nb"]', ['café 🙂', 'a\nb']],
      [`['caf\\xe9', 'a\\\\b']`, ['café', 'a\\b']],
      ['[12, -3.5]', ['12', '-3.5']],
      [`['a', 12345678901234567890]`, ['a', '12345678901234567890']],
      [`[it is] 'x' [y]`, [`[it is] 'x' [y]`]],
      [`['a\\']`, [`['a\\']`]],
    ];
    for (const [text, answers] of exact) expect(cell(text).answers, text).to.deep.equal(answers);
    expect(cell('a')).to.include({newTokens: 32, answerPrefix: ''});
  });

  it('reads cells of any length', () => {
    const long = 'x'.repeat(2e7);
    const lines = 'x\n'.repeat(3e6);
    for (const [cell, answer] of [
      [`['${long}', 'b']`, long],
      [JSON.stringify([lines, 'b']), lines],
      [long, long],
      [`['${long}]`, `['${long}]`],
    ] as const) {
      const csv = `context,question,answer\nOne.,What?,"${cell.replaceAll('"', '""')}"\n`;
      const [first] = parseTaskFile(csv, 'x.csv')[0]!.samples[0]!.questions[0]!.answers;
      expect(first === answer, cell.slice(0, 9)).to.equal(true); // the difference of such texts takes minutes
    }
  });

  it('names a task by the file, and takes answers as LongBench has them', () => {
    const [task] = parseTaskFile(
      lines({context: 'One.', question: 'What?', answers: ['a', 3]}),
      'mine.jsonl',
    );
    const [marked] = parseTaskFile(
      `\uFEFF${lines({context: 'One.', question: 'What?', answer: 3})}\r\n`,
      'x.jsonl',
    );
    expect(marked!.samples[0]!.questions[0]!.answers).to.deep.equal(['3']);
    expect(task!.name).to.equal('mine.jsonl');
    expect(task!.samples[0]!.questions[0]!.answers).to.deep.equal(['a', '3']);
  });

  it('refuses missing columns, values that are none, and empty files, and says where', () => {
    const good = rows[0]!;
    const {question: _, ...noQuestion} = good;
    const {answer: _answer, ...noAnswer} = good;
    const refusals: readonly (readonly [string, string, RegExp])[] = [
      ['', 'x.jsonl', /^x.jsonl has no rows/],
      ['context,question,answer\n', 'x.csv', /^x.csv has no rows/],
      [
        lines(good, noQuestion),
        'x.jsonl',
        /^x.jsonl, line 2, has no column "question"; expected context, question/,
      ],
      [lines(noAnswer), 'x.jsonl', /line 1, has no column "answer"/],
      ['context,question\nOne.,What?\n', 'x.csv', /^x.csv, record 2, has no column "answer"/],
      [lines({...good, context: ' '}), 'x.jsonl', /an empty context/],
      [lines({...good, context: 5}), 'x.jsonl', /has 5 as context; expected a text/],
      [lines({...good, answer: []}), 'x.jsonl', /has \[\] as answer/],
      [lines({...good, answer: ['']}), 'x.jsonl', /has \[""\] as answer/],
      [lines({...good, answer: [2 ** 60]}), 'x.jsonl', /as answer/],
      [lines({...good, max_new_tokens: true}), 'x.jsonl', /has true as max_new_tokens/],
      ['context,question,answer\nOne.,What?,[]\n', 'x.csv', /has "\[\]" as answer/],
      [`context,question,answer\nOne.,What?,"['a', None]"\n`, 'x.csv', /as answer/],
      ['context,question,context,answer\nOne.,What?,Two.,a\n', 'x.csv', /^x.csv has two columns "context"/],
      [lines({...good, max_new_tokens: 0}), 'x.jsonl', /has 0 as max_new_tokens/],
      [lines(good, [good]), 'x.jsonl', /line 2, is \[/],
      ['{"context": "One."', 'x.jsonl', /line 1, is not JSON/],
      [JSON.stringify([good, noAnswer]), 'x.json', /^x.json, item 2, has no column "answer"/],
      [JSON.stringify([good, 5]), 'x.json', /item 2, is 5; expected an object with context/],
      ['[]', 'x.json', /^x.json has no rows/],
      ['[1]\n[2]', 'x.jsonl', /line 1, is \[1\]; expected an object/],
      [JSON.stringify([good]).slice(0, -1), 'x.json', /^x.json is not JSON/],
      [
        JSON.stringify({data: [good]}, undefined, 2),
        'x.json',
        /^x.json has an object over several lines; write each object on a line of its own/,
      ],
      ...[
        '{\r\n"context": "One."\r\n}',
        '{ "context":\n"One."}',
        '\n{"context": "One.",\n"answer": "x"}',
        '{"context": "One."\n,"answer": "x"}',
        '{"answer": ["x"\n]}\n',
      ].map(text => [text, 'x.json', /^x.json has an object over several lines/] as const),
      ['{"context": "One.",\n', 'x.jsonl', /line 1, is not JSON/],
      [lines([good], [good]), 'x.jsonl', /^x.jsonl has several lists; write one of all objects/],
      [
        `${JSON.stringify([good])} \r\n\r\n[\n${JSON.stringify(good)}]`,
        'x.json',
        /^x.json has several lists/,
      ],
    ];
    for (const [text, name, message] of refusals) {
      expect(() => parseTaskFile(text, name), text).to.throw(FormatError, message);
    }
  });
});

describe('predictionsCsv', () => {
  it('has a record for each question of a plan, as kvpress reads them', () => {
    const common = {context: 0, found: 1, newTokens: 5, candidates: 0};
    const asked = {question: 'What,\n', answerPrefix: 'It is', answers: ['a', '"b"']};
    const row = {task: 'niah', questions: 1, found: 1, foundStderr: 0, lost: 0, gained: 0, signTest: 1};
    const evaluation: TaskEvaluation = {
      ...{tokens: 100, longestContext: 90, chunk: 64, seed: 1},
      rows: [
        {...row, plan: 'full', ratioToFloat32: 1},
        {...row, plan: 'h2o', ratioToFloat32: 0.25},
      ],
      answers: [
        {task: 'niah', plan: 'full', written: 'x', ...asked, ...common},
        {task: 'niah', plan: 'h2o', written: ' a', ...asked, ...common},
      ],
    };
    expect(parseCsv(predictionsCsv(evaluation, 'h2o'), 'x')).to.deep.equal([
      [
        'task',
        'question',
        'answer_prefix',
        'answer',
        'max_new_tokens',
        'predicted_answer',
        'compression_ratio',
      ],
      ['niah', 'What,\n', 'It is', '["a","\\"b\\""]', '5', ' a', '0.75'],
    ]);
  });
});
