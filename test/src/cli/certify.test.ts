import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {asPlan} from '../../../cache/index.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {tuneCommand} from '../../../src/cli/tune.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import {rejection} from '../../base/files/rejection.js';
import {eigenkvIn} from './support/eigenkv.js';
import {widestLine} from './support/wide.js';

describe('certificates on the command line', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-certify-'));
  });
  after(() => rm(folder, {recursive: true}));
  const narrow = {env: {COLUMNS: '80'}};

  it('eval: below the table, and on the page', async () => {
    const page = join(folder, 'page.html');
    const args = ['eval', '--plan', '0.1x', '--tokens', '96', '--certify', '--report', page];
    const {code, stdout} = await eigenkvIn(narrow, ...args);
    expect(code, stdout).to.equal(0);
    expect(widestLine(stdout)).to.be.at.most(80);
    expect(stdout)
      .to.match(/Certificate of 0.1x: embedded on 96 tokens/)
      .and.match(/KL\s+predicted/);
    const html = await readFile(page, 'utf8');
    expect(html).to.include('<h2>Certificate of 0.1x').and.include('KL alone');
    const [, json = ''] = /<script type="application\/json" id="report">(.*)<\/script>/.exec(html) ?? [];
    expect((JSON.parse(json) as {certificates: unknown[]}).certificates).to.have.length(1);
  });

  it('monitor: in its JSON', async () => {
    const args = ['monitor', '--plan', 'transform:bits=3', '--tokens', '96', '--certify', '--json'];
    const {code, stdout} = await eigenkvIn({}, ...args);
    expect(code, stdout).to.equal(0);
    const {rows, drift, certificates} = JSON.parse(stdout) as {
      rows: {predictedKl: number}[];
      drift: {hasLeft: boolean};
      certificates: {depths: {predictedKl: number}[]}[];
    };
    expect(drift.hasLeft).to.equal(false);
    expect(rows.map(({predictedKl}) => predictedKl)).to.deep.equal(
      certificates[0]!.depths.map(({predictedKl}) => predictedKl),
    );
  });

  it('tune: a plan, charts and a page', async () => {
    const args = ['tune', '--target', '0.1x', '--tokens', '96', '--out', folder];
    const {code, stdout} = await eigenkvIn(narrow, ...args);
    expect(code, stdout).to.equal(0);
    expect(widestLine(stdout)).to.be.at.most(80);
    const plan = asPlan(await readFile(join(folder, 'plan.json'), 'utf8'));
    expect(plan.policyFor(0, 9).name).to.equal('transform');
    for (const name of ['curve.svg', 'bits.svg']) {
      const svg = await readFile(join(folder, name), 'utf8');
      expect(svg).to.match(/^<svg/);
      expect(await readFile(join(folder, 'page.html'), 'utf8')).to.include(svg.slice(0, 200));
    }
  });

  it('refuse what does not go together', async () => {
    const against = ['--plan', '0.1x', '--certify', '--against', 'embedded'];
    expect((await rejection(evalCommand.run(against), UsageError)).message).to.match(/leave --against out/);
    expect((await rejection(tuneCommand.run([]), UsageError)).message).to.match(/Give --target/);
  });
});
