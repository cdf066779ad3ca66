import {expect} from 'chai';
import fc from 'fast-check';
import {columns as columnsArgument, readColumns} from '../../../src/cli/support/arguments.js';
import {type Column, tableText} from '../../../src/report/table.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import {hanging, wrapped} from '../../../src/report/wrap.js';
import {tablesIn} from './support/tables.js';
import {widestLine} from './support/wide.js';

type Row = Readonly<Record<string, string>>;

const column = (name: string, more: Partial<Column<Row>> = {}): Column<Row> => ({
  name,
  head: name,
  cell: row => row[name] ?? '',
  ...more,
});

const columns = [
  column('name', {align: 'left'}),
  column('size', {head: 'size (bytes)'}),
  column('speed', {head: 'tokens a second'}),
  column('rest', {extra: true}),
];
const rows = [
  {name: 'one', size: '12', speed: '3.5', rest: 'x'},
  {name: 'two and more', size: '1,234', speed: '12', rest: 'y'},
];

describe('tables', () => {
  it('stand in columns, numbers to the right, and name what they do not show', () => {
    expect(tableText(columns, rows, {width: 80}).split('\n')).to.deep.equal([
      '                            tokens a',
      'name          size (bytes)    second',
      '────────────  ────────────  ────────',
      'one                     12       3.5',
      'two and more         1,234        12',
      'Not shown: rest (--columns all, or names).',
    ]);
  });

  it('show what was chosen, in that order, and then say nothing of the rest', () => {
    expect(tableText(columns, rows, {width: 80, chosen: ['rest', 'name']}).split('\n')).to.deep.equal([
      'rest  name',
      '────  ────────────',
      '   x  one',
      '   y  two and more',
    ]);
    expect(tableText(columns, rows, {chosen: ['other']})).to.equal('');
  });

  it('break texts before they leave out columns, and leave out the last ones first', () => {
    const long = [{name: 'bands(shallow=h2o, deep=quantized:bits=4)', size: '12', speed: '3.5'}];
    const [broken] = tablesIn(tableText(columns, long, {width: 38}));
    expect(broken!.heads).to.deep.equal(['name', 'size (bytes)', 'tokens a second']);
    expect(broken!.rows.map(([name]) => name)).to.deep.equal([
      'bands(shallow=h2o,',
      'deep=quantized:',
      'bits=4)',
    ]);
    const [fewer] = tablesIn(tableText(columns, rows, {width: 28}));
    expect(fewer!.heads).to.deep.equal(['name', 'size (bytes)']);
  });

  it('become lists where two columns, or those that were chosen, have no room', () => {
    const list = tableText(columns, rows, {width: 17});
    expect(list).not.to.contain('─');
    expect(list.split('\n').slice(0, 6)).to.deep.equal([
      'name    one',
      'size (bytes)',
      '        12',
      'tokens a second',
      '        3.5',
      '',
    ]);
    const chosen = tableText(columns, rows, {width: 30, chosen: ['name', 'size', 'speed', 'rest']});
    expect(chosen).not.to.contain('─');
    expect(chosen).to.contain('rest').and.to.contain('1,234');
  });

  it('count two columns for wide characters, none for accents, and let no control character through', () => {
    const strange = [
      {name: '文字', size: '1', speed: '2'},
      {name: 'e\u0301e\u0301', size: '1', speed: '2'},
      {name: 'a\u001b[31mb\u001b[0m\nc\u0007\t', size: '1', speed: '2'},
    ];
    const lines = tableText(columns, strange, {width: 80}).split('\n').slice(-4, -1);
    // what follows a name of four columns stands where it does behind four letters
    expect(lines[0]).to.equal('文字             1         2');
    expect(lines[1]).to.equal('e\u0301e\u0301               1         2');
    expect(lines[2]).to.equal('ab c             1         2');
  });

  it('are never wider than the terminal, whatever is in them', () => {
    const text = fc.oneof(
      fc.string({unit: 'grapheme', maxLength: 60}),
      fc.constantFrom('漢字'.repeat(20), '/a/b'.repeat(30)),
    );
    const head = fc.array(fc.string({minLength: 1, maxLength: 9}), {minLength: 1, maxLength: 4});
    const table = fc.record({
      columns: fc.array(fc.record({head, left: fc.boolean()}), {minLength: 1, maxLength: 12}),
      cells: fc.array(fc.array(text, {minLength: 12, maxLength: 12}), {maxLength: 4}),
      width: fc.integer({min: 8, max: 200}),
      choose: fc.boolean(),
    });
    fc.assert(
      fc.property(table, ({columns: drawn, cells, width, choose}) => {
        const made = drawn.map(({head: words, left}, i): Column<string[]> => ({
          name: `c${i}`,
          head: words.join(' '),
          cell: row => row[i]!,
          align: left ? 'left' : 'right',
        }));
        const chosen = choose ? made.map(({name}) => name) : undefined;
        expect(widestLine(tableText(made, cells, {width, chosen}))).to.be.at.most(width);
      }),
    );
  });
});

describe('wrapped text', () => {
  it('is broken between words, and long words at their marks', () => {
    expect(wrapped('one two three', 7)).to.deep.equal(['one two', 'three']);
    expect(wrapped('see /usr/share/models/small.gguf', 12)).to.deep.equal([
      'see',
      '/usr/share/',
      'models/',
      'small.gguf',
    ]);
    expect(wrapped('漢字漢字', 5)).to.deep.equal(['漢字', '漢字']);
    expect(wrapped('', 5)).to.deep.equal(['']);
  });

  it('hangs beside its term, or below a long one', () => {
    expect(hanging('a', 'one two', {width: 8, indent: 4})).to.deep.equal(['a   one', '    two']);
    expect(hanging('a long one', 'two', {width: 12, indent: 4})).to.deep.equal(['a long one', '    two']);
    expect(hanging('four', 'two', {width: 12, indent: 4})).to.deep.equal(['four', '    two']);
    expect(hanging('  --an A', 'b', {width: 9, indent: 4})).to.deep.equal(['  --an A', '    b']);
    expect(hanging('  --an A', 'b', {width: 7, indent: 4})).to.deep.equal(['  --an', '  A', '    b']);
  });
});

describe('--columns', () => {
  const names = ['plan', 'bytes', 'peak'];

  it('takes names with commas, several times, and all', () => {
    expect(readColumns([], names)).to.equal(undefined);
    expect(readColumns(['peak, plan', 'peak'], names)).to.deep.equal(['peak', 'plan']);
    expect(readColumns(['all'], names)).to.deep.equal(names);
  });

  it('refuses others by naming those that there are', () => {
    for (const value of ['byte', 'plan,', 'Plan', '']) {
      expect(() => readColumns([value], names)).to.throw(
        UsageError,
        /there is no column ".*"; there are plan, bytes, peak, all\./,
      );
    }
    expect(columnsArgument(names).description).to.contain('plan, bytes, peak; or all');
  });
});
