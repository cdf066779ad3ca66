import {availableParallelism} from 'node:os';
import {expect} from 'chai';
import type {EvaluationReport} from '../../../src/report/report_table.js';
import {eigenkv} from './support/eigenkv.js';

const commands = ['calibrate', 'chat', 'compress', 'demo', 'eval', 'generate', 'inspect', 'monitor', 'tune'];

describe('threads of the command line', () => {
  it('are an option of every command that takes a backend', async () => {
    const overview = await eigenkv('--help');
    const helps = await Promise.all(commands.map(name => eigenkv(name, '--help')));
    expect(helps.map(({stdout}) => stdout.includes('--threads N'))).to.deep.equal(commands.map(() => true));
    const others = overview.stdout.match(/^ {2}\w+/gm)!.map(name => name.trim());
    expect(others.filter(name => !commands.includes(name))).to.deep.equal(['memory']);
  });

  it('compute alike, and reports say how many there were', async () => {
    const args = ['eval', '--tokens', '40', '--plan', 'quantized:bits=4,groupSize=16,residual=8', '--json'];
    const runs = await Promise.all(['1', '2'].map(threads => eigenkv(...args, '--threads', threads)));
    const [one, two] = runs.map(({code, stdout, stderr}) => {
      expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
      return JSON.parse(stdout) as EvaluationReport;
    });
    expect([one!.threads, two!.threads]).to.deep.equal([1, 2]);
    for (const [i, row] of one!.rows.entries()) {
      expect(two!.rows[i]!.perplexity).to.be.closeTo(row.perplexity, 1e-4 * row.perplexity);
    }
  });

  it('are a whole number from 1 to 64, or all', async () => {
    const wrong = ['0', '65', '-1', '1.5', 'two', ' '];
    const refused = await Promise.all(wrong.map(threads => eigenkv('eval', `--threads=${threads}`)));
    for (const [i, {code, stderr}] of refused.entries()) {
      expect(code).to.equal(2);
      expect(stderr).to.equal(`--threads = "${wrong[i]!}"; expected a whole number from 1 to 64, or all.\n`);
    }
  });

  it('are told by --version --verbose, with what they run on', async () => {
    const {code, stdout, stderr} = await eigenkv('--version', '--verbose');
    expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
    const many = Math.min(availableParallelism(), 8);
    const version = '\\d+\\.\\d+\\.\\d+';
    expect(stdout).to.match(
      new RegExp(
        [
          `^eigenkv ${version}`,
          `Node ${process.versions.node}, \\w+ \\w+`,
          `@tensorflow/tfjs ${version}`,
          `@tensorflow/tfjs-backend-wasm ${version}`,
          `wasm: ${many} threads? \\(all\\), (plain|relaxed) SIMD; threads were tried with [\\d., ]*4\\.22\\.0\n$`,
        ].join('\n'),
      ),
    );
  });
});
