import {mkdtemp, readdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {runsOf} from '../../bench/support/history.js';
import {runsOfRows} from '../../bench/support/row.js';
import {pivot, markdownTable} from '../../tools/docs_tables/cells.js';
import {drawnFiles} from '../../tools/docs_tables/files.js';
import {withTables} from '../../tools/docs_tables/page.js';
import {pages, root} from '../../tools/markdown_pages.js';
import {brokenLinks} from '../../tools/site/links.js';

describe('bench/history', () => {
  it('has whole runs: where, when, on what, and what was measured', async () => {
    const files = await readdir(join(root, 'bench/history'));
    expect(files).to.have.length.above(5);
    for (const file of files) {
      const what = file.replace(/[.]jsonl$/, '');
      for (const run of await runsOf(what)) {
        expect(run.what, file).to.equal(what);
        expect(run.date, file).to.match(/^2\d{3}-\d{2}-\d{2}$/);
        expect(run.commit, file).to.match(/^[0-9a-f]{7,}[+]?$/);
        for (const text of [run.machine, run.node, run.subject])
          expect(text, file).to.be.a('string').that.is.not.empty;
        expect(JSON.stringify(run), file).to.not.match(/["\s](?:[/~]|[A-Za-z]:\\)\w*[/\\]/); // no path of a machine
        expect(run.figures, file).to.not.be.empty;
        for (const figure of run.figures) {
          const values = Object.values(figure);
          expect(
            values.some(Number.isFinite) || values.length > 1,
            `${file}: ${JSON.stringify(figure)}`,
          ).to.equal(true);
        }
      }
    }
  });

  it('is what the tables of the pages and the chart say: `npm run docs:tables` writes them', async () => {
    const stale = (await drawnFiles()).filter(({text, current}) => text !== current);
    expect(stale.map(({name}) => name)).to.deep.equal([]);
  });

  it('gives each table one sentence that says what follows from it, in bold above the table', async () => {
    const bare = (await pages()).flatMap(({name, text}) => {
      const paragraphs = text.split(/\n{2,}/);
      const above = paragraphs.map((paragraph, i) => [paragraph, paragraphs[i - 1] ?? ''] as const);
      const tables = above.filter(([paragraph]) => paragraph.startsWith('<!-- table '));
      return tables
        .filter(([, before]) => !before.startsWith('**'))
        .map(([table]) => `${name}: ${table.split('\n')[0]!}`);
    });
    expect(bare).to.deep.equal([]);
  });

  it('takes the rows of the bench, a run for each shape and each model', () => {
    const common = {backend: 'wasm', codec: 'dense', tokens: 512, ms: 0.123456};
    const runs = runsOfRows([
      {op: 'decode', shape: 'SmolLM2', ...common},
      {op: 'read', shape: 'SmolLM2', ...common},
      {op: 'decode', shape: 'Llama-7B', ...common},
      {op: 'model', shape: 'SmolLM2.Q4_1', weights: 'asStored', ...common, codec: 'full'},
      {
        op: 'model',
        shape: 'SmolLM2.F32',
        weights: 'SmolLM2.F32',
        ...common,
        codec: 'f16',
        backend: 'llama.cpp',
      },
    ]);
    expect(runs.map(({what, subject, figures}) => [what, subject, figures.length])).to.deep.equal([
      ['decode', 'SmolLM2', 2],
      ['decode', 'Llama-7B', 1],
      ['model', 'SmolLM2.Q4_1', 2],
    ]);
    expect(runs[0]!.figures[0]).to.deep.equal({op: 'decode', ...common, ms: 0.1235});
    expect(runs[2]!.figures.map(({weights}) => weights)).to.deep.equal(['asStored', 'SmolLM2.F32']);
  });
});

describe('tables of pages', () => {
  it('have a column for each value and a dash for what was not measured', () => {
    const cells = pivot(
      [
        {codec: 'a', tokens: 1, ms: 2},
        {codec: 'a', tokens: 8, ms: 3},
        {codec: 'b|c', tokens: 8, ms: 4},
      ],
      {
        rows: [['codec', ({codec}) => String(codec)]],
        across: ({tokens}) => String(tokens),
        cell: ({ms}) => String(ms),
      },
    );
    expect(markdownTable(cells)).to.equal(
      '| codec | 1 | 8 |\n|---|---|---|\n| a | 2 | 3 |\n| b\\|c | - | 4 |',
    );
  });

  it('have known names', async () => {
    const page = '<!-- table nothing -->\nold\n<!-- end of table -->';
    const error = await withTables(page).catch((reason: unknown) => reason);
    expect(error)
      .to.be.an('error')
      .with.property('message')
      .that.includes('No table nothing: expected one of');
  });
});

describe('brokenLinks', () => {
  it('finds links to missing files and missing headings, and follows no other host', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-links-'));
    try {
      await writeFile(
        join(folder, 'a.html'),
        '<p id="here"><a href="#here"></a> <a href="b.html#there"></a> <a href="https://example.org/x"></a> <img src="no.png">',
      );
      await writeFile(join(folder, 'b.html'), '<a href="a.html#here"></a> <a href="#gone"></a>');
      const broken = (await brokenLinks(folder)).map(line => line.slice(folder.length + 1));
      expect(broken.sort()).to.deep.equal(['a.html: b.html#there', 'a.html: no.png', 'b.html: #gone']);
    } finally {
      await rm(folder, {recursive: true});
    }
  });
});
