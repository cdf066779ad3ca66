import {readFile, readdir} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import type {Notebook} from '../../tools/notebooks/jupyter.js';

const folder = fileURLToPath(new URL('../../notebooks/', import.meta.url));

/** `npm run notebooks` executes them; here only whether they were committed as it leaves them. */
describe('notebooks', () => {
  it('hold the outputs of a run without errors, charts among them', async () => {
    const names = (await readdir(folder)).filter(name => name.endsWith('.ipynb'));
    expect(names).to.have.length.above(3);
    for (const name of names) {
      const {cells} = JSON.parse(await readFile(`${folder}${name}`, 'utf8')) as Notebook;
      const outputs = cells.flatMap(cell => cell.outputs ?? []);
      expect(
        outputs.map(output => output.output_type),
        name,
      ).not.to.include('error');
      expect(
        outputs.filter(output => output.name === 'stderr'),
        name,
      ).to.deep.equal([]);
      const pages = outputs.map(output => [output.data?.['text/html'] ?? []].flat().join(''));
      expect(
        pages.filter(page => page.startsWith('<svg')),
        name,
      ).to.have.length.above(0);
      expect(pages.join(''), name).not.to.contain('NaN');
    }
  });
});
