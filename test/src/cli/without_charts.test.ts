import {execFile} from 'node:child_process';
import {mkdtemp, readdir, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';

// vega and vega-lite are optional peers. Nothing but charts needs them, and who wants one hears so at once, not after minutes.

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('without vega', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-without-vega-'));
  });
  after(() => rm(folder, {recursive: true}));

  for (const args of [
    ['eval', '--report'],
    ['eval', '--out'],
    ['monitor', '--out'],
    ['inspect', '--ranks', '--out'],
  ]) {
    it(`eigenkv ${args.join(' ')} says what to install`, async () => {
      const {code, output} = await run('src/cli/main.ts', ...args, join(folder, 'a'));
      expect(output).to.equal(
        'Charts are drawn by vega and vega-lite, which are not installed: npm install vega@6 vega-lite@6, or leave the charts out.\n',
      );
      expect(code).to.equal(1);
      expect(await readdir(folder)).to.deep.equal([]);
    });
  }

  it('the package and its charts load, and a chart is a typed error', async () => {
    const program = `
      await import('./src/index.ts');
      const {lineChartSvg} = await import('./src/charts.ts');
      const chart = {title: '', x: {title: ''}, y: {title: ''}, points: [{series: 'a', x: 0, y: 1}]};
      await lineChartSvg(chart).catch(error => console.log(error.name + ': ' + error.message));`;
    const {code, output} = await run('--input-type=module', '--eval', program);
    expect(output).to.match(/^BackendError: Charts are drawn by vega and vega-lite/m);
    expect(code).to.equal(0);
  });

  it('eigenkv demo leaves its chart out', async () => {
    const {code, output} = await run('src/cli/main.ts', 'demo', '--out', folder);
    expect(output).to.match(/For its chart: npm install vega@6 vega-lite@6/);
    expect(code).to.equal(0);
    expect(await readdir(folder)).to.deep.equal(['report.json']);
  }).timeout(120_000);
});

/** Node in a process of its own that finds no vega. */
function run(...args: string[]): Promise<{code: number; output: string}> {
  const imports = ['--import', 'tsx', '--import', './test/support/without_vega.mjs'];
  return new Promise(resolve => {
    execFile(process.execPath, [...imports, ...args], {cwd: root}, (error, stdout, stderr) =>
      resolve({code: Number(error?.code ?? 0), output: stdout + stderr}),
    );
  });
}
