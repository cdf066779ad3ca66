import {expect} from 'chai';
import fc from 'fast-check';
import {chartSvg} from '../../../src/cli/support/chart.js';
import {placeLabels} from '../../../src/cli/support/place_labels.js';
import {reportPage} from '../../../src/cli/support/report_page.js';
import {reportTable} from '../../../src/cli/support/report_table.js';
import {byteSize, change, count, short, small, timesSmaller} from '../../../src/cli/support/units.js';
import type {EvaluationReport} from '../../../src/evaluate/index.js';

const row = {
  perplexityStderr: 0.5,
  klDivergence: 0.0123,
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
  step: 64,
  backend: 'wasm',
  rows: [
    {...row, policy: 'full', perplexity: 20.5, bytesPerToken: 9216, ratioToFloat32: 1},
    {...row, policy: 'h2o:heavyBudget=8', perplexity: 25.25, bytesPerToken: 1000, ratioToFloat32: 1 / 9.216},
    {...row, policy: '<odd> & "quoted"', perplexity: 21, bytesPerToken: 1001, ratioToFloat32: 1 / 9.2},
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
    expect([change(1.002, 1), change(96.8, 100)]).to.deep.equal(['+0.20 %', '-3.20 %']);
    expect([512, 2 ** 31, 512 * 2 ** 20, 1536].map(byteSize)).to.deep.equal([
      '512 B',
      '2.00 GiB',
      '512 MiB',
      '1.50 KiB',
    ]);
    expect([3.79, 0.5, 1.001, 15.9].map(timesSmaller)).to.deep.equal([
      '3.8x smaller',
      '2.0x larger',
      'same',
      '16x smaller',
    ]);
  });
});

describe('the table of a report', () => {
  it('has a line for each policy, aligned, and units in its head', () => {
    const lines = reportTable(report).split('\n');
    const table = lines.filter(line => /^[│┌├└]/.test(line));
    expect(new Set(table.map(line => line.length)).size).to.equal(1);
    expect(table[1]).to.contain('bytes/token').and.to.contain('decode (tokens/s)');
    expect(table[4]).to.match(
      /h2o:heavyBudget=8 .* 25\.25 ± 0\.5 .* \+23\.17 % .* 0\.012 .* 98\.7 % .* 1,000 .* 9\.2x smaller .* 3\.00 MiB/,
    );
    expect(lines[0]).to.contain('1,024 tokens').and.to.contain('some text');
  });
});

describe('the page of a report', () => {
  it('holds the table, the chart and the rows, and nothing from elsewhere', async () => {
    const page = await reportPage(report);
    expect(page).to.match(/^<!doctype html>/);
    expect(page.match(/<tr>/g)).to.have.length(4);
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
