import {expect} from 'chai';
import fc from 'fast-check';
import {MergeTable, mergeAll} from '../../../models/tokenizer/lookup/merging.js';

const ids = fc.oneof(fc.nat({max: 7}), fc.integer({min: 2 ** 24 - 4, max: 2 ** 24 - 1}));

describe('a table of merges', () => {
  it('knows what a Map of pairs knows, the last of equal pairs among them', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(ids, ids, ids), {maxLength: 700, size: 'max'}), rows => {
        const table = new MergeTable();
        const map = new Map<string, {rank: number; id: number}>();
        rows.forEach(([left, right, id], rank) => {
          table.add(left, right, id);
          map.set(`${left} ${right}`, {rank, id});
        });
        for (const left of [...rows.flat().slice(-60), 0, 8]) {
          for (const right of [...rows.flat().slice(0, 20), 0, 8]) {
            const known = map.get(`${left} ${right}`);
            const rank = table.rankOf(left, right);
            expect(rank).to.equal(known?.rank ?? -1);
            if (known !== undefined) expect(table.idOf(rank)).to.equal(known.id);
          }
        }
      }),
      {numRuns: 30},
    );
  });

  it('of nothing knows nothing', () => {
    expect(new MergeTable().rankOf(0, 0)).to.equal(-1);
  });

  it('joins the pair of the lowest rank first, of equal ones the leftmost', () => {
    const table = new MergeTable();
    table.add(1, 2, 3);
    table.add(3, 3, 4);
    table.add(0, 1, 5);
    expect(mergeAll([0, 1, 2, 1, 2, 1], table)).to.deep.equal([0, 4, 1]);
    expect(mergeAll([0, 1, 1, 2, 1, 2, 1, 2], table)).to.deep.equal([5, 4, 3]);
  });
});
