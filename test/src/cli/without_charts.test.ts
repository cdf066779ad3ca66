import {execFile} from 'node:child_process';
import {mkdtemp, readdir, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {builtFile, builtUrl} from '../../support/built_package.js';

// vega and vega-lite are optional peers. Nothing but charts needs them, and who wants one hears so at once, not after minutes.

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('without vega', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-without-vega-'));
  });
  after(() => rm(folder, {recursive: true}));

  it('commands that draw say what to install, and write nothing', async () => {
    const commands = [
      ['eval', '--report'],
      ['eval', '--out'],
      ['monitor', '--out'],
      ['inspect', '--ranks', '--out'],
    ];
    const program = `
      const {run} = await import('${await builtUrl('src/cli/run.js')}');
      for (const args of ${JSON.stringify(commands)}) console.error(await run([...args, process.argv[1]]));`;
    const {code, output} = await run(...inline(program), join(folder, 'a'));
    const advice =
      'Charts are drawn by vega and vega-lite, which are not installed: npm install vega@6 vega-lite@6, or leave the charts out.\n';
    expect(output).to.equal(`${advice}1\n`.repeat(commands.length));
    expect(code).to.equal(0);
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('the package and its charts load, and a chart is a typed error', async () => {
    const program = `
      await import('${await builtUrl('src/index.js')}');
      const {lineChartSvg} = await import('${await builtUrl('src/report/charts.js')}');
      const chart = {title: '', x: {title: ''}, y: {title: ''}, points: [{series: 'a', x: 0, y: 1}]};
      await lineChartSvg(chart).catch(error => console.log(error.name + ': ' + error.message));`;
    const {code, output} = await run(...inline(program));
    expect(output).to.match(/^BackendError: Charts are drawn by vega and vega-lite/m);
    expect(code).to.equal(0);
  });

  it('eigenkv demo leaves its chart out', async () => {
    const {code, output} = await run(await builtFile('src/cli/main.js'), 'demo', '--out', folder);
    expect(output).to.match(/For its chart: npm install vega@6 vega-lite@6/);
    expect(code).to.equal(0);
    expect(await readdir(folder)).to.deep.equal(['report.json']);
  });
});

const inline = (program: string) => ['--input-type=module', '--eval', program];

/** Node in a process of its own that finds no vega. */
function run(...args: string[]): Promise<{code: unknown; output: string}> {
  const imports = ['--import', './test/support/without_vega.mjs'];
  return new Promise(resolve => {
    execFile(process.execPath, [...imports, ...args], {cwd: root}, (error, stdout, stderr) =>
      resolve({code: error === null ? 0 : error.code, output: stdout + stderr}),
    );
  });
}
