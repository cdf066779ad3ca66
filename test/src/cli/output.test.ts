import {expect} from 'chai';
import fc from 'fast-check';
import {chartSvg} from '../../../src/report/evaluation_chart.js';
import {placeLabels} from '../../../src/report/place_labels.js';
import {reportPage} from '../../../src/report/report_page.js';
import {reportColumnNames, reportTable} from '../../../src/report/report_table.js';
import {
  byteSize,
  change,
  comparedWith,
  count,
  counted,
  fixed,
  percent,
  short,
  small,
  timesSmaller,
} from '../../../base/units.js';
import type {EvaluationReport} from '../../../src/report/report_table.js';
import {type ReadTable, tablesIn} from './support/tables.js';
import {widestLine} from './support/wide.js';

const row = {
  perplexityStderr: 0.5,
  changeStderr: 0.001,
  klDivergence: 0.0123,
  klStderr: 0.0004,
  predictedKl: 0.0112,
  top1Agreement: 0.987,
  ratioToFloat16: 1 / 1.9,
  prefillTokensPerSecond: 1234.5,
  decodeTokensPerSecond: 56.78,
  peakBytes: 3 * 2 ** 20,
};
const report: EvaluationReport = {
  model: 'tiny',
  text: 'some text',
  tokens: 1024,
  chunk: 64,
  backend: 'wasm',
  rows: [
    {...row, plan: 'full', perplexity: 20.5, bytesPerToken: 9216, ratioToFloat32: 1},
    {...row, plan: 'h2o:heavyBudget=8', perplexity: 25.25, bytesPerToken: 1000, ratioToFloat32: 1 / 9.216},
    {...row, plan: '<odd> & "quoted"', perplexity: 21, bytesPerToken: 1001, ratioToFloat32: 1 / 9.2},
  ],
};

describe('units', () => {
  it('are what people read', () => {
    expect([count(1234567.4), short(0.001234), short(56.78), short(1234.5), short(0)]).to.deep.equal([
      '1,234,567',
      '0.00123',
      '56.8',
      '1,235',
      '0',
    ]);
    expect([0.01234, 0.000123, 0.0000314, 0].map(small)).to.deep.equal(['0.012', '0.00012', '3.1e-5', '0']);
    expect([change(1.002, 1), change(96.8, 100), change(25, 1)]).to.deep.equal([
      '+0.20 %',
      '-3.20 %',
      '+2,400 %',
    ]);
    expect([512, 2 ** 31, 512 * 2 ** 20, 1536, 0.5].map(byteSize)).to.deep.equal([
      '512 B',
      '2.00 GiB',
      '512 MiB',
      '1.50 KiB',
      '0.5 B',
    ]);
    expect([3.79, 0.5, 1.001, 15.9].map(timesSmaller)).to.deep.equal([
      '3.8x smaller',
      '2.0x larger',
      'the same',
      '16x smaller',
    ]);
    expect([0.987, 0.0456, 0.00012, 0, 1, 1e-9].map(share => percent(share))).to.deep.equal([
      '98.7 %',
      '4.56 %',
      '0.01 %',
      '0 %',
      '100 %',
      '< 0.001 %',
    ]);
  });

  it('never say -0, 1.0x, 1 tokens, 1024 KiB or NaN', () => {
    expect([
      change(1 - 1e-9, 1),
      change(1 + 1e-9, 1),
      fixed(-0.001, 1),
      count(-0.4),
      short(-0),
    ]).to.deep.equal([...['0.00 %', '0.00 %', '0.0', '0', '0']]);
    expect([0, 1, 2, 1000].map(number => counted(number, 'token'))).to.deep.equal([
      ...['0 tokens', '1 token', '2 tokens', '1,000 tokens'],
    ]);
    expect([1.004, 1 / 1.004, 1.03, 1 / 1.03, 1.0949, 1.0951].map(timesSmaller)).to.deep.equal([
      ...['the same', 'the same', '1.03x smaller', '1.03x larger', '1.09x smaller', '1.1x smaller'],
    ]);
    expect([9.94, 9.96].map(timesSmaller)).to.deep.equal(['9.9x smaller', '10x smaller']);
    expect([comparedWith(1, 'float32'), comparedWith(4, 'float32')]).to.deep.equal([
      'the same as float32',
      '4.0x smaller than float32',
    ]);
    expect([2 ** 20 - 1, 2 ** 30 - 1, 1023].map(byteSize)).to.deep.equal(['1.00 MiB', '1.00 GiB', '1,023 B']);
    expect([
      change(NaN, 1),
      timesSmaller(NaN),
      timesSmaller(0),
      byteSize(NaN),
      fixed(Infinity, 2),
    ]).to.deep.equal([...['-', '-', '-', '-', 'infinite']]);
    const numbers = fc.double({noNaN: true, noDefaultInfinity: true});
    const shown = [
      count,
      short,
      small,
      byteSize,
      timesSmaller,
      percent,
      (x: number) => fixed(x, 2),
      (x: number) => change(x, 1),
    ];
    fc.assert(
      fc.property(numbers, number => {
        for (const show of shown) {
          const text = show(number);
          expect(text).not.to.match(/^-0(\.0+)?( |$)|(^| )1\.0+x|NaN|undefined|1,?024 /);
          if (Math.abs(number) < 1e7) expect(text.length, text).to.be.below(20);
        }
      }),
    );
  });
});

describe('the table of a report', () => {
  it('has a line for each policy, aligned, and units in its head', () => {
    const text = reportTable(report, {chosen: [...reportColumnNames], width: 300});
    const [{heads, rows}] = tablesIn(text) as [ReadTable];
    expect(heads).to.include.members(['bytes/token', 'decode (tokens/s)', 'KL (nats)', 'than float32']);
    expect(rows.map(([policy]) => policy)).to.deep.equal(report.rows.map(({plan}) => plan));
    expect(rows[1]).to.deep.equal([
      ...['h2o:heavyBudget=8', '25.25 ± 0.5', '+23.17 %', '1,000', '9.2x smaller', '0.012', '98.7 %', '56.8'],
      ...['0.011', '0.0004', '0.10 %', '1,235', '3.00 MiB', '1.9x smaller'],
    ]);
    expect(text.split('\n')[0]).to.contain('1,024 tokens').and.to.contain('some text');
    expect(text).to.contain('the full cache of tiny as float32');
  });

  it('says which model is measured against which', () => {
    const text = reportTable({...report, against: 'dense'});
    expect(text).to.match(/^tiny against dense on 1,024 tokens/);
    expect(text.replaceAll('\n', ' ')).to.contain('Float32: the full cache of dense as float32');
  });

  it('shows fewer columns by default, as many as fit, and names the others', () => {
    for (const width of [40, 60, 80, 100, 120]) {
      const text = reportTable(report, {width});
      expect(widestLine(text), `${width}`).to.be.at.most(width);
      expect(tablesIn(text)[0]!.heads.slice(0, 2)).to.deep.equal(['plan', 'perplexity']);
      expect(text.replaceAll('\n', ' ')).to.match(/Not shown: .*peak, float16 \(--columns all, or names\)/);
    }
  });
});

describe('the page of a report', () => {
  it('holds the table, the chart and the rows, and nothing from elsewhere', async () => {
    const page = await reportPage(report);
    expect(page).to.match(/^<!doctype html>/);
    expect(page.match(/<tr[ >]/g)).to.have.length(4);
    expect(page).to.contain('<td>25.25 ± 0.5</td>').and.to.contain('<svg');
    expect(page).to.contain('&#60;odd&#62; &#38; &#34;quoted&#34;').and.not.to.contain('<odd>');
    expect(page).not.to.match(/<link|<img|src=|url\(|@import/);
    const data = /<script type="application\/json" id="report">(.*)<\/script>/.exec(page)![1]!;
    expect(JSON.parse(data)).to.deep.equal(report);
    const hostile = await reportPage({...report, model: '</script><b>'});
    expect(hostile.match(/<\/script>/g)).to.have.length(1);
    expect(hostile).not.to.contain('<b>');
  });
});

describe('the chart of a report', () => {
  it('names every policy and both axes', async () => {
    const svg = await chartSvg(report);
    const texts = [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text);
    expect(texts).to.include.members([
      'full',
      'h2o:heavyBudget=8',
      '&lt;odd&gt; &amp; "quoted"',
      'perplexity',
      'cache, bytes per token',
      '1,000',
    ]);
    expect(texts.join()).to.match(/tiny: perplexity/);
  });

  it('can show a single policy', async () => {
    expect(await chartSvg({...report, rows: report.rows.slice(0, 1)})).not.to.contain('NaN');
  });

  it('places labels where they cover no other label and no point', () => {
    const [width, height] = [640, 400];
    const point = fc.record({
      x: fc.integer({min: 40, max: 600}),
      y: fc.integer({min: 20, max: 380}),
      text: fc.string({minLength: 3, maxLength: 24}),
    });
    fc.assert(
      fc.property(fc.array(point, {maxLength: 10}), points => {
        const places = placeLabels(points, width, height);
        const boxes = places.map(({x, y}, i) => ({x, y, w: points[i]!.text.length * 6, h: 12}));
        const dots = points.map(({x, y}) => ({x, y, w: 6, h: 6}));
        const apart = (a: (typeof boxes)[0], b: (typeof boxes)[0]) =>
          Math.abs(a.x - b.x) >= (a.w + b.w) / 2 || Math.abs(a.y - b.y) >= (a.h + b.h) / 2;
        for (const [i, box] of boxes.entries()) {
          expect(
            [...boxes.slice(0, i), ...dots].every(other => apart(box, other)),
            `label ${i}`,
          ).to.be.true;
        }
      }),
      {numRuns: 50},
    );
  });
});
