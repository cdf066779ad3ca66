import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
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
      .to.match(/Tasks: 4 questions each about contexts of up to 300 tokens/)
      .and.match(/^copy +full/m)
      .and.match(/^needle +sliding:window=32 /m);
    const html = await readFile(page, 'utf8');
    expect(html).to.include('<h2>Tasks: 4 questions each');
    const [, json = ''] = /<script type="application\/json" id="report">(.*)<\/script>/.exec(html) ?? [];
    expect((JSON.parse(json) as EvaluationReport).tasks!.rows).to.have.length(4);
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

  it('refuses tasks that it does not have or cannot compare, before a model is loaded', async () => {
    await rejection(evalCommand.run(['--task', 'nedle']), InvalidArgumentError, /Did you mean "needle"/);
    await rejection(evalCommand.run(['--task', 'copy', '--questions', '0']), UsageError, /--questions = "0"/);
    await rejection(evalCommand.run(['--task', 'copy', '--context', '0']), UsageError, /--context = "0"/);
    const against = ['--task', 'copy', '--against', 'none', '--plan', 'h2o'];
    await rejection(evalCommand.run(against), UsageError, /leave --against out/);
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
