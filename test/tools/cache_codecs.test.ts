import {expect} from 'chai';
import {type Report, runOfReports} from '../../tools/cache_codecs/report.js';

const measured = {klDivergence: 0, top1Agreement: 1, bytesPerToken: 46080, ratioToFloat32: 1};
const field: Report = {
  ...{model: 'SmolLM2.gguf', text: 'text.txt', tokens: 4096, chunk: 64},
  rows: [
    {codec: 'none', settings: 'float32', perplexity: 16, exactRatio: 0.001, ...measured},
    {
      ...{codec: 'KIVI', settings: '2 bits', perplexity: 18, exactRatio: 0.0078123456, ...measured},
      ...{klDivergence: 0.2, ratioToFloat32: 0.1},
    },
  ],
};
const own: Report = {
  ...field,
  ...{model: 'SmolLM2 135M', text: 'texts/text.txt'},
  rows: [
    {plan: 'full', perplexity: 16.008, ...measured},
    {plan: 'quantized', perplexity: 16.008 * 1.01, ...measured, ratioToFloat32: 0.28},
  ],
};

describe('reports of codecs of the field', () => {
  it('join with those of eigenkv: the full cache once, changes by the own full cache, the most bytes first', () => {
    const {subject, figures} = runOfReports([field, own]);
    expect(subject).to.equal('SmolLM2, 4,096 tokens of text.txt, 64 tokens per step');
    expect(figures.map(({codec, settings, change}) => [codec, settings, change])).to.deep.equal([
      ['none', 'float32', 0],
      ['eigenkv', 'quantized', 0.01],
      ['KIVI', '2 bits', 0.125],
    ]);
    expect(figures.map(({exactRatio}) => exactRatio)).to.deep.equal([0.001, undefined, 0.00781235]);
  });

  it('do not join if they are of other texts, steps or full caches', () => {
    expect(() => runOfReports([])).to.throw('There are no reports');
    expect(() => runOfReports([field, {...own, text: 'other.txt'}])).to.throw('other.txt');
    expect(() => runOfReports([field, {...own, chunk: 32}])).to.throw('32 tokens per step');
    const other = own.rows.map(row => ({...row, perplexity: 1.01 * row.perplexity}));
    expect(() => runOfReports([field, {...own, rows: other}])).to.throw('The full cache has perplexity 16');
  });
});
