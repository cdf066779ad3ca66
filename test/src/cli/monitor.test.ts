import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {inspect} from '../../../src/cli/inspect.js';
import {monitorCommand} from '../../../src/cli/monitor.js';
import {
  type NamedMonitorReport,
  bytesChart,
  errorChart,
  rankChart,
} from '../../../src/report/monitor_charts.js';
import {monitorColumnNames, monitorTable} from '../../../src/report/monitor_table.js';
import {featureChart, weightChart} from '../../../src/report/rank_charts.js';
import {type RankReport, rankColumnNames, rankTables} from '../../../src/report/rank_tables.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import {type MonitorRow, type WeightSpectrum, weightSummary} from '../../../src/evaluate/index.js';
import {rejection} from '../../base/files/rejection.js';
import {type Result, eigenkv} from './support/eigenkv.js';
import {tablesIn} from './support/tables.js';
import {widestLine} from './support/wide.js';

const overall = {
  float32Bytes: 2 * 2 ** 20,
  compressedBytes: 2 ** 19,
  ratioToFloat32: 0.25,
  tokensSeen: 1024,
  tokensHeld: 1000,
  keyRank: 41.25,
  valueRank: 48.5,
  entropy: 1.234,
  renyi2Entropy: 0.987,
  keyError: 0.1234,
  valueError: 0.0456,
  outputError: 0.00012,
  predictedKl: 0.00234,
  blocksEncoded: 7,
  svdUpdates: 5,
  unreadValues: 0.7,
  evictedTokens: 1234,
};
const rows: MonitorRow[] = [0, 1].map(depth => ({...overall, depth, policy: ['h2o', 'quantized'][depth]!}));
const rank = {stableRank: 2.5, singularValues: [2, 1], dim: 64};
const report: NamedMonitorReport = {
  model: 'tiny',
  text: 'some text',
  tokens: 1024,
  chunk: 64,
  plan: 'memory',
  backend: 'wasm',
  rows,
  overall,
  ranks: [0, 1].flatMap(depth =>
    (['keys', 'values'] as const).flatMap(feature =>
      [0, 1].map(kvHead => ({...rank, depth, feature, kvHead, effectiveRank: 40 + depth + 2 * kvHead})),
    ),
  ),
  timeline: [1, 2].map(i => ({
    text: 0,
    tokens: 512 * i,
    float32Bytes: 2 ** 20 * i,
    compressedBytes: 2 ** 18 * i,
  })),
};

const spectra = (['query', 'key', 'value', 'output', 'gate', 'up', 'down'] as const).map(
  (weight, index): WeightSpectrum => ({
    depth: 0,
    weight,
    rows: 100,
    columns: 100,
    fullRank: 100,
    effectiveRank90: index < 4 ? 20 : 48,
    effectiveRank99: index < 4 ? 40 : 75,
    randomRank90: 50,
    randomRank99: 77,
    stableRank: 12.5,
    singularValues: [3],
  }),
);
const rankReport: RankReport = {
  model: 'tiny',
  text: 'some text',
  tokens: 1024,
  energy: 0.99,
  window: 256,
  features: (['keys', 'rotatedKeys', 'values', 'queries', 'scores', 'rotatedScores'] as const).flatMap(
    (feature, i) =>
      [0, 1].map(kvHead => ({...rank, depth: 0, feature, kvHead, effectiveRank: 30 + 2 * i + kvHead})),
  ),
  attention: [0, 1, 2].map(head => ({
    depth: 0,
    head,
    tokens: 256,
    effectiveRank: 100 + head,
    stableRank: 9,
    entropy: 1.5,
    renyi2Entropy: 1.25,
  })),
  spectra,
  weights: weightSummary(spectra),
};

const textsOf = (svg: string) => [...svg.matchAll(/<(?:text|tspan)[^>]*>([^<]+)/g)].map(([, text]) => text!);
describe('the table of a monitor', () => {
  const all = {chosen: [...monitorColumnNames], width: 300};

  it('has a line for each depth and one for all, aligned, and units in its head', () => {
    const [table] = tablesIn(monitorTable(report, all));
    expect(table!.heads).to.deep.equal([
      ...['depth', 'policy', 'cache', 'than float32', 'K error', 'V error', 'output error'],
      ...[
        'KL predicted',
        'K rank (of 64)',
        'V rank (of 64)',
        'evicted (tokens)',
        'held (tokens)',
        'float32',
        'entropy (nats)',
        'Renyi-2 (nats)',
      ],
      ...['blocks', 'updates', 'V unread'],
    ]);
    const numbers = [
      ...[
        '512 KiB',
        '4.0x smaller',
        '12.3 %',
        '4.56 %',
        '0.01 %',
        '0.0023',
        '41.3',
        '48.5',
        '1,234',
        '1,000',
        '2.00 MiB',
      ],
      ...['1.23', '0.99', '7', '5', '70 %'],
    ];
    expect(table!.rows).to.deep.equal([
      ['0', 'h2o', ...numbers],
      ['1', 'quantized', ...numbers],
      ['all', '', ...numbers],
    ]);
  });

  it('fits, as those of ranks do', () => {
    for (const width of [40, 60, 80, 100, 120]) {
      for (const text of [monitorTable(report, {width}), rankTables(rankReport, {width})]) {
        expect(widestLine(text)).to.be.at.most(width);
        expect(tablesIn(text)[0]!.heads[0]).to.equal('depth');
        expect(text.replaceAll('\n', ' ')).to.match(/Not shown: .* \(--columns all, or names\)/);
      }
    }
  });

  it('says the policy of each depth only where they differ', () => {
    const alike = {...report, rows: rows.map(row => ({...row, policy: 'h2o'}))};
    expect(tablesIn(monitorTable(alike))[0]!.heads).not.to.contain('policy');
    expect(tablesIn(monitorTable(report))[0]!.heads).to.contain('policy');
  });
});

describe('the charts of a monitor', () => {
  it('name their axes, lines and what they are of', async () => {
    const [errors, bytes, ranks] = await Promise.all(
      [errorChart, bytesChart, rankChart].map(draw => draw(report)),
    );
    const about = /memory on 1,024 tokens of some text/;
    expect(textsOf(errors!)).to.include.members([
      'depth',
      'keys stored',
      'values stored',
      'attention output',
    ]);
    expect(textsOf(errors!).join())
      .to.match(/tiny: relative error by depth/)
      .and.to.match(about);
    expect(textsOf(bytes!)).to.include.members(['tokens', 'cache, MiB', 'full cache, float32', '1,000']);
    expect(textsOf(bytes!).join())
      .to.match(about)
      .and.to.match(/512 KiB instead of 2\.00 MiB.*4\.0x smaller/);
    expect(textsOf(ranks!)).to.include.members(['keys', 'values', 'depth', 'key head', 'share of 64', '43']);
    for (const svg of [errors!, bytes!, ranks!]) expect(svg).to.match(/^<svg/).and.not.to.contain('NaN');
  });

  it('stand for one depth and one step, too', async () => {
    const small = {...report, rows: rows.slice(0, 1), timeline: report.timeline.slice(0, 1)};
    for (const draw of [errorChart, bytesChart, rankChart]) expect(await draw(small)).not.to.contain('NaN');
  });
});

describe('ranks on paper', () => {
  it('stand in a table by depth, one by weight, and a verdict', () => {
    const text = rankTables(rankReport, {chosen: [...rankColumnNames], width: 300});
    const [byDepth, byWeight] = tablesIn(text);
    expect(byDepth!.heads).to.deep.equal([
      ...['depth', 'K', 'K rotated', 'V', 'Q', 'KQ^T', 'KQ^T rotated', 'attention (of 256)'],
      ...['entropy (nats)', 'Renyi-2 (nats)'],
    ]);
    expect(byDepth!.rows).to.deep.equal(
      ['0', 'all'].map(depth => [
        ...[depth, '30.5 (2.5)', '32.5 (2.5)', '34.5 (2.5)', '36.5 (2.5)', '38.5 (2.5)', '40.5 (2.5)'],
        ...['101.0 (9.0)', '1.50', '1.25'],
      ]),
    );
    expect(byWeight!.rows).to.deep.include([
      ...['all of attention', '20 %', '50 %', '0.40x', 'low rank', '40 %', '77 %', '12.5', '4'],
    ]);
    expect(text).to.contain(
      "Attention's weights: low rank (20 % of the full rank hold 90 % of the energy, 0.40x",
    );
    expect(text).to.contain('Feed-forward weights: as random (48 %');
  });

  it('are drawn by depth and head, and by weight', async () => {
    const [features, weights] = await Promise.all([featureChart(rankReport), weightChart(rankReport)]);
    expect(textsOf(features)).to.include.members(['K', 'K rotated', 'V', 'Q', 'KQ^T', 'attention', '102']);
    expect(textsOf(weights)).to.include.members(['attention', 'feed-forward', 'query', 'down', '40', '96']);
    for (const svg of [features, weights]) expect(svg).not.to.contain('NaN');
  });
});

describe('eigenkv monitor and inspect --ranks', () => {
  let folder: string;
  let monitored: Result;
  let inspected: Result;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-monitor-'));
    const policy = ['--plan', 'quantized:bits=4'];
    [monitored, inspected] = await Promise.all([
      eigenkv('monitor', '--tokens', '70', '--chunk', '32', ...policy, '--json', '--out', folder),
      eigenkv('inspect', '--ranks', '--tokens', '40', '--json'),
    ]);
  });
  after(() => rm(folder, {recursive: true}));

  it('refuse what they cannot run before anything is loaded', async () => {
    const run = (...args: string[]) => monitorCommand.run(args);
    await rejection(run('--policy', 'h2o'), UsageError, /no option --policy\. Did you mean "--plan"\?/);
    await rejection(run('--scenario', 'memory'), UsageError, /Did you mean "--plan"\?/);
    await rejection(run('--step', '8'), UsageError, /Did you mean "--chunk"\?/);
    await rejection(run('--plan', '{"name": "h2o"'), InvalidArgumentError, /is not valid JSON/);
    await rejection(run('--plan', '{"plan": "h2o"}'), InvalidArgumentError, /no plan "h2o"/);
    await rejection(run('--plan', 'all'), UsageError, /one plan/);
    await rejection(run('--tokens', '0'), UsageError, /--tokens/);
    await rejection(run('--plan', 'h2'), InvalidArgumentError, /Did you mean "h2o"/);
    await rejection(run('--text', join(folder, 'none')), InvalidArgumentError, /cannot be read/);
    await rejection(inspect.run(['--tokens', '5']), UsageError, /--tokens needs --ranks/);
  });

  it('write JSON, files and nothing else', async () => {
    const {code, stdout, stderr} = monitored;
    expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
    const printed = JSON.parse(stdout) as NamedMonitorReport;
    expect(printed).to.include({model: 'embedded', tokens: 70, chunk: 32, plan: 'quantized:bits=4'});
    expect(printed.rows).to.have.length(9);
    expect(printed.timeline.map(({tokens}) => tokens)).to.deep.equal([32, 64, 70]);
    for (const row of [...printed.rows, printed.overall]) {
      for (const [key, value] of Object.entries(row)) {
        if (key !== 'policy') expect(value, key).to.satisfy(Number.isFinite);
      }
    }
    expect(JSON.parse(await readFile(join(folder, 'monitor.json'), 'utf8'))).to.deep.equal(printed);
    for (const name of ['errors.svg', 'bytes.svg', 'ranks.svg']) {
      expect(await readFile(join(folder, name), 'utf8')).to.match(/^<svg/);
    }
  });

  it('inspect --ranks: weights, features and attention of the model that comes along', () => {
    const {code, stdout, stderr} = inspected;
    expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
    const printed = JSON.parse(stdout) as RankReport;
    expect(printed).to.include({model: 'embedded', tokens: 40, window: 40});
    expect(printed.features).to.have.length(9 * 6 * 2);
    expect(printed.attention).to.have.length(9 * 4);
    expect(printed.spectra).to.have.length(9 * 7);
    expect(printed.weights.map(({weight}) => weight)).to.include.members([
      'query',
      'attention',
      'feedForward',
    ]);
  });
});
