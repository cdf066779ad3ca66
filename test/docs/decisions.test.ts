import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {expect} from 'chai';
import {root} from '../../tools/markdown_pages.js';

describe('docs/DECISIONS.md', () => {
  it('numbers its entries without gaps and dates them, the newest last', async () => {
    const headings = (await readFile(join(root, 'docs/DECISIONS.md'), 'utf8')).match(/^## .*$/gm) ?? [];
    const entries = headings.map(
      heading => /^## (\d+)[.] \S.* \((\d{4}-\d{2}-\d{2})\)$/.exec(heading) ?? expect.fail(heading),
    );
    expect(entries.length).to.be.above(50);
    expect(entries.map(([, number]) => Number(number))).to.deep.equal(entries.map((_, i) => i + 1));
    const dates = entries.map(([, , date]) => date!);
    expect(dates).to.deep.equal([...dates].sort());
  });
});
