import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import type {GenerationSummary} from '../../../src/cli/support/generation.js';
import type {EvaluationReport} from '../../../src/report/report_table.js';
import {eigenkvIn} from './support/eigenkv.js';

// What the command line does as a process among others. Everything here waits for an event, never for a clock.

describe('the process of a command', () => {
  it('ends quietly where its reader has enough', async () => {
    let closed = false;
    const {code, stderr} = await eigenkvIn(
      {
        onOutput(child) {
          closed = true;
          child.stdout?.destroy(); // as head does
        },
      },
      ...['generate', 'It was a fine morning', '--tokens', '800', '--temperature', '1', '--seed', '1'],
    );
    expect({closed, code, stderr}).to.deep.equal({closed: true, code: 0, stderr: ''});
  });

  it('is interrupted by ctrl-C with code 130, saying what was generated so far', async () => {
    let pressed = false;
    const {code, stdout, stderr} = await eigenkvIn(
      {
        onOutput(child) {
          if (!pressed) child.kill('SIGINT');
          pressed = true;
        },
      },
      ...['generate', 'It was a fine morning', '--tokens', '800', '--temperature', '1', '--seed', '1'],
    );
    expect(code).to.equal(130);
    expect(stdout).to.match(/\n$/);
    expect(stderr).to.match(/^\d+ tokens?, [\d.]+ tokens\/s; cache of \d+ tokens: .*\nInterrupted\.\n$/);
  });

  it('prints nothing but JSON where it is asked for JSON', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-process-'));
    try {
      const {code, stdout, stderr} = await eigenkvIn(
        {env: {FORCE_COLOR: '1'}},
        'demo',
        '--json',
        '--out',
        folder,
      );
      expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
      const report = JSON.parse(stdout) as EvaluationReport & {
        readonly files: string[];
        readonly generation: GenerationSummary & {readonly text: string};
      };
      expect(report).to.include({model: 'embedded', tokens: 1024});
      expect(report.rows).to.have.length(6);
      expect(report.tasks!.rows).to.have.length(6);
      expect(report.generation.text.length).to.be.above(100);
      expect(report.generation.tokens).to.be.within(20, 160);
      expect(report.files).to.deep.equal(['report.json', 'chart.svg'].map(name => join(folder, name)));
      for (const args of [['inspect'], ['memory', '--model', 'embedded']]) {
        const said = await eigenkvIn({env: {FORCE_COLOR: '1'}}, ...args, '--json');
        expect(said).to.include({code: 0, stderr: ''});
        expect(JSON.parse(said.stdout)).to.be.an('object');
      }
    } finally {
      await rm(folder, {recursive: true});
    }
  });
});
