import {expect} from 'chai';
import * as fc from 'fast-check';
import {FormatError} from '../../../base/errors.js';
import {csvText, parseCsv} from '../../../base/files/csv.js';

describe('csv', () => {
  it('reads quotes, commas and line breaks within quotes, either line end, and a mark at the start', () => {
    expect(parseCsv('\uFEFFa,b\r\n"1,\n""x""",2\r\n\n,\n', 'x.csv')).to.deep.equal([
      ['a', 'b'],
      ['1,\n"x"', '2'],
      ['', ''],
    ]);
    expect(parseCsv('', 'x.csv')).to.deep.equal([]);
    expect(parseCsv('a,b\n1,', 'x.csv')).to.deep.equal([
      ['a', 'b'],
      ['1', ''],
    ]);
  });

  it('reads what it writes', () => {
    const field = fc.string({unit: fc.constantFrom('a', ',', '"', '\n', '\r', ' ', 'é')});
    const table = fc.integer({min: 2, max: 4}).chain(columns => {
      const record = fc.array(field, {minLength: columns, maxLength: columns});
      return fc.array(record, {minLength: 1, maxLength: 6});
    });
    fc.assert(
      fc.property(table, records => {
        expect(parseCsv(csvText(records), 'x')).to.deep.equal(records);
      }),
    );
  });

  it('refuses damaged text, and says where', () => {
    expect(() => parseCsv('a,b\n1,"2\n', 'x.csv')).to.throw(FormatError, /x.csv ends within quotes/);
    expect(() => parseCsv('a,b\n"1"2,3\n', 'x.csv')).to.throw(FormatError, /"2" follows, in record 2/);
    expect(() => parseCsv('a,b\n1,2\n1,2,3\n', 'x.csv')).to.throw(
      FormatError,
      /3 fields in record 3 and 2 in its header/,
    );
  });
});
