import {readFile, readdir} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {differences} from '../../tools/notebooks/differences.js';
import {type Notebook, textOf, tidied} from '../../tools/notebooks/notebook.js';

const folder = fileURLToPath(new URL('../../notebooks/', import.meta.url));

async function notebooks(): Promise<[name: string, notebook: Notebook][]> {
  const names = (await readdir(folder)).filter(name => name.endsWith('.ipynb')).sort();
  return Promise.all(
    names.map(async name => [name, JSON.parse(await readFile(`${folder}${name}`, 'utf8')) as Notebook]),
  );
}

/** A notebook of one cell that printed a text and drew a chart. */
const notebook = (
  printed: string,
  svg = '<svg width="20" height="10" xmlns="http://www.w3.org/2000/svg"/>',
) => ({
  cells: [
    {
      ...({cell_type: 'code', source: ''} as const),
      outputs: [
        {output_type: 'stream', name: 'stdout', text: [printed]},
        {output_type: 'display_data', data: {'image/svg+xml': svg}, metadata: {}},
      ],
    },
  ],
});

/** `npm run notebooks` executes them. These tests check that they were committed as it writes them. */
describe('notebooks', () => {
  it('contain the outputs of a run without errors', async () => {
    expect(await notebooks()).to.have.length.above(3);
    for (const [name, {cells}] of await notebooks()) {
      const outputs = cells.flatMap(cell => cell.outputs ?? []);
      expect(outputs, name).to.have.length.above(2);
      expect(
        outputs.filter(({output_type: type, name}) => type === 'error' || name === 'stderr'),
        name,
      ).to.deep.equal([]);
      expect(JSON.stringify(outputs), name).not.to.match(/\bNaN\b/);
    }
  });

  it('contain charts as pictures, which Jupyter shows without running the notebook', async () => {
    for (const [name, {cells}] of await notebooks()) {
      const shown = cells
        .flatMap(cell => cell.outputs ?? [])
        .flatMap(({data}) => (data === undefined ? [] : [data]));
      expect(shown, name).to.have.length.above(0);
      for (const data of shown) {
        expect(Object.keys(data).sort(), name).to.deep.equal(['image/png', 'image/svg+xml']);
        expect(textOf(data['image/svg+xml']), name).to.match(/^<svg/);
        const bytes = Buffer.from(textOf(data['image/png']), 'base64');
        expect(bytes.subarray(1, 4).toString('latin1'), name).to.equal('PNG');
        expect(bytes.readUInt32BE(16), name).to.be.above(800); // pixels: twice the chart's
      }
    }
  });

  it('end with conclusions whose numbers their outputs show', async () => {
    for (const [name, {cells}] of await notebooks()) {
      const last = cells.at(-1)!;
      const lessons = textOf(last.source);
      expect([last.cell_type, lessons.split('\n')[0]], name).to.deep.equal([
        'markdown',
        '## What one learns',
      ]);
      const printed = cells.flatMap(({outputs = []}) => outputs.map(({text}) => textOf(text))).join('');
      const numbers = lessons.match(/\d+\.\d+/g) ?? [];
      expect(numbers, name).to.have.length.above(2);
      expect(
        numbers.filter(number => !printed.includes(number)),
        name,
      ).to.deep.equal([]);
    }
  });
});

describe('committed notebooks', () => {
  it('have the output of a cell in one piece, and a picture with each chart', () => {
    const stream = {output_type: 'stream', name: 'stdout'};
    const {cells} = tidied({
      cells: [
        {
          ...{cell_type: 'code', source: ''},
          outputs: [
            {...stream, text: 'a\nb'},
            {...stream, text: ['c\n', 'd\n']},
          ],
        },
        ...notebook('').cells,
      ],
    });
    expect(cells[0]!.outputs).to.deep.equal([{...stream, text: ['a\n', 'bc\n', 'd\n']}]);
    const {data, metadata} = cells[1]!.outputs![1]!;
    expect(metadata).to.deep.equal({'image/png': {width: 20, height: 10}});
    const png = Buffer.from(textOf(data!['image/png']), 'base64');
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).to.deep.equal([40, 20]);
  });

  it('equal another run if words are equal and numbers are close', () => {
    const before = notebook('h2o   0.0091 nats\n');
    expect(differences(before, notebook('h2o  0.00914 nats\n'))).to.deep.equal([]);
    expect(differences(before, notebook('h2o  0.0109 nats\n'))).to.deep.equal([
      'Cell 1: it says 0.0109, not 0.0091.',
    ]);
    expect(differences(before, notebook('lru  0.0091 nats\n'))[0]).to.include('it says "lru');
  });

  it('equal another run if charts differ by a few pixels at most', () => {
    const chart = (x: number, word = 'depth') => notebook('', `<svg><path d="M${x},7"/>${word}</svg>`);
    expect(differences(chart(5), chart(7.5))).to.deep.equal([]);
    expect(differences(chart(5), chart(9))).to.have.length(1);
    expect(differences(chart(5), chart(5, 'head'))).to.have.length(1);
    expect(differences(chart(5), {cells: []})).to.deep.equal(['The notebooks have other cells.']);
  });
});
