import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, relative} from 'node:path';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {parseCsv} from '../../../base/files/csv.js';
import {policyNames} from '../../../cache/index.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {readPlans} from '../../../src/cli/support/plans.js';
import {predictionFiles, readTasks} from '../../../src/cli/support/tasks.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import {planLabel, taskNames} from '../../../src/evaluate/index.js';
import type {NamedMonitorReport} from '../../../src/report/monitor_charts.js';
import type {EvaluationReport} from '../../../src/report/report_table.js';
import {rejection} from '../../base/files/rejection.js';
import {eigenkvIn} from './support/eigenkv.js';
import {widestLine} from './support/wide.js';

describe('tasks on the command line', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-tasks-'));
  });
  after(() => rm(folder, {recursive: true}));
  const few = ['--tokens', '64', '--context', '300', '--questions', '4'];

  it('eval: below the table, and on the page', async () => {
    const page = join(folder, 'page.html');
    const tasks = ['--task', 'copy', '--task', 'needle', '--plan', 'sliding:window=32'];
    const {code, stdout} = await eigenkvIn(
      {env: {COLUMNS: '80'}},
      'eval',
      ...tasks,
      ...few,
      '--report',
      page,
    );
    expect(code, stdout).to.equal(0);
    expect(widestLine(stdout)).to.be.at.most(80);
    expect(stdout)
      .to.match(/Tasks: 4 questions each about contexts of up to 29\d tokens/)
      .and.match(/^copy +full/m)
      .and.match(/^needle +sliding:window=32 /m);
    const html = await readFile(page, 'utf8');
    expect(html).to.include('<h2>Tasks: 4 questions each');
    const [, json = ''] = /<script type="application\/json" id="report">(.*)<\/script>/.exec(html) ?? [];
    expect((JSON.parse(json) as EvaluationReport).tasks!.rows).to.have.length(4);
  });

  it('names files of answers apart, and no longer than file systems allow', () => {
    const row = {task: 'x', questions: 1, found: 1, foundStderr: 0, lost: 0, gained: 0, signTest: 1};
    const plans = ['mixed:bits=4/2', 'mixed:bits=4,2', 'a'.repeat(600), `${'a'.repeat(600)}b`];
    const rows = plans.map(plan => ({...row, plan, ratioToFloat32: 1}));
    const setting = {tokens: 1, longestContext: 1, chunk: 1, seed: 1};
    const names = Object.keys(predictionFiles({...setting, rows, answers: []}));
    expect(names).to.have.length(4).and.include('predictions_mixed_bits_4_2.csv');
    for (const name of names) expect(name.length).to.be.below(200);
  });

  it('takes once what is given twice', async () => {
    const plans = await readPlans(['h2o', 'quantized:bits=8', 'all', 'quantized', '{"name":"h2o"}']);
    expect(plans.map(planLabel)).to.deep.equal([
      ...new Set(['h2o', 'quantized', ...policyNames().map(planLabel)]), // policies that other tests registered may be called otherwise
    ]);
    const file = join(folder, 'twice.jsonl');
    await writeFile(file, '{"context": "One.", "question": "What?", "answer": "a"}\n');
    const tasks = await readTasks([file, 'copy', 'all', file, relative('.', file), 'needle']);
    expect(tasks.map(task => (typeof task === 'string' ? task : task.name))).to.deep.equal([
      'twice.jsonl',
      'copy',
      ...taskNames().filter(name => name !== 'copy'),
    ]);
  });

  it('eval: in its JSON, with every answer; the seed makes others', async () => {
    const answersOf = async (seed: string) => {
      const {code, stdout} = await eigenkvIn({}, 'eval', '--task', 'copy', ...few, '--seed', seed, '--json');
      expect(code, stdout).to.equal(0);
      return (JSON.parse(stdout) as EvaluationReport).tasks!.answers;
    };
    const [one, again, other] = [await answersOf('1'), await answersOf('1'), await answersOf('2')];
    expect(one).to.have.length(8); // of full and quantized
    expect(again).to.deep.equal(one);
    expect(other.map(({written}) => written)).to.not.deep.equal(one.map(({written}) => written));
  });

  it('eval: from files in the format of kvpress, and writes the answers in its format', async () => {
    const file = join(folder, 'mine.jsonl');
    const context = 'It was a fine morning. '.repeat(12);
    const row = {
      context,
      question: 'Which morning?',
      answer_prefix: 'It was a fine',
      answer: ['morning', 'no'],
    };
    await writeFile(
      file,
      `${JSON.stringify(row)}\n${JSON.stringify({...row, question: 'And?', task: 'and'})}\n`,
    );
    const args = ['--task', file, '--plan', 'sliding:window=8', '--tokens', '64', '--out', folder];
    const {code, stdout} = await eigenkvIn({}, 'eval', ...args);
    expect(code, stdout).to.equal(0);
    expect(stdout)
      .to.match(/contexts of up to \d\d tokens/) // those of the file, not of --context
      .and.match(/^mine.jsonl +full /m)
      .and.match(/^and +sliding:window=8 /m);
    const written = await readFile(join(folder, 'predictions_sliding_window_8.csv'), 'utf8');
    const [header, first, second] = parseCsv(written, 'x');
    expect(header!.slice(0, 4)).to.deep.equal(['task', 'question', 'answer_prefix', 'answer']);
    expect(first!.slice(0, 4)).to.deep.equal([
      'mine.jsonl',
      'Which morning?\n',
      'It was a fine',
      '["morning","no"]',
    ]);
    expect(second![0]).to.equal('and');
    expect(Number(first![6])).to.be.within(0.5, 1);
    await writeFile(file, '{"context": "One."}\n');
    const refused = await eigenkvIn({}, 'eval', '--task', file);
    expect(refused).to.include({code: 1, stdout: ''});
    expect(refused.stderr).to.match(/^mine.jsonl, line 1, has no column "question"/);
  });

  it('eval: the divergence while the full cache writes', async () => {
    const page = join(folder, 'writing.html');
    const args = ['--written', '40', '--plan', 'sliding:window=16', '--tokens', '64', '--report', page];
    const {code, stdout} = await eigenkvIn({env: {COLUMNS: '80'}}, 'eval', ...args);
    expect(code, stdout).to.equal(0);
    expect(widestLine(stdout)).to.be.at.most(80);
    expect(stdout)
      .to.match(/Writing: 40 tokens after a prompt of 64/)
      .and.match(/33 to/);
    expect(await readFile(page, 'utf8'))
      .to.include('<h2>Writing: 40 tokens')
      .and.include('while it writes');
  });

  it('monitor: below its table, and in its JSON', async () => {
    const args = ['monitor', '--plan', 'sliding:window=32', '--task', 'copy', '--written', '8', ...few];
    const [shown, json] = await Promise.all([eigenkvIn({}, ...args), eigenkvIn({}, ...args, '--json')]);
    expect(shown.code, shown.stdout).to.equal(0);
    expect(shown.stdout)
      .to.match(/^copy +sliding:window=32 /m)
      .and.match(/Writing: 8 tokens/);
    const {tasks, writing} = JSON.parse(json.stdout) as NamedMonitorReport;
    expect(tasks!.rows.map(({plan}) => plan)).to.deep.equal(['full', 'sliding:window=32']);
    expect(writing!.rows).to.have.length(1);
  });

  it('refuses tasks that it does not have or cannot compare, before a model is loaded', async () => {
    await rejection(evalCommand.run(['--task', 'nedle']), InvalidArgumentError, /Did you mean "needle"/);
    await rejection(evalCommand.run(['--task', 'copy', '--questions', '0']), UsageError, /--questions = "0"/);
    await rejection(evalCommand.run(['--task', 'copy', '--context', '0']), UsageError, /--context = "0"/);
    const against = ['--task', 'copy', '--against', 'none', '--plan', 'h2o'];
    await rejection(evalCommand.run(against), UsageError, /leave --against out/);
    await rejection(evalCommand.run(['--written', '0']), UsageError, /--written = "0"/);
    for (const file of ['none.csv', 'none.jsonl', 'none.json']) {
      await rejection(evalCommand.run(['--task', file]), InvalidArgumentError, /none\.\w+ cannot be read/);
    }
  });

  it('refuses contexts that are too long for the model, or too short for the task', async () => {
    const long = await eigenkvIn({}, 'eval', '--task', 'kv', '--context', '1020');
    expect(long).to.include({code: 1, stdout: ''});
    expect(long.stderr).to.match(
      /^The task kv takes 1,0\d\d tokens .* holds 1,024; give shorter contexts\.\n$/,
    );
    const short = await eigenkvIn({}, 'eval', '--task', 'kv', '--context', '50');
    expect(short).to.include({code: 2, stdout: ''});
    expect(short.stderr).to.match(
      /^The task kv has no room in a context of 50 tokens; give it at least \d+\.\n$/,
    );
  });
});
