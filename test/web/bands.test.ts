import {expect} from 'chai';
import fc from 'fast-check';
import {
  type Band,
  bandOfDepth,
  depthsOf,
  edgeRange,
  fitBands,
  moveEdge,
  removeBand,
  setPolicy,
  splitBand,
  startsOf,
} from '../../web/state/bands.js';

const three: readonly Band[] = [
  {depths: 3, policy: 'full'},
  {depths: 4, policy: 'h2o'},
  {depths: 2, policy: 'quantized'},
];
const depthsIn = (bands: readonly Band[]) => bands.map(({depths}) => depths);

describe('bands of depths', () => {
  it('begin where the ones above them end', () => {
    expect(startsOf(three)).to.deep.equal([0, 3, 7]);
    expect(bandOfDepth(three)).to.deep.equal([0, 0, 0, 1, 1, 1, 1, 2, 2]);
  });

  it('share an edge that moves as far as both keep a depth', () => {
    expect(edgeRange(three, 0)).to.deep.equal({least: 1, most: 6});
    expect(depthsIn(moveEdge(three, 0, 5))).to.deep.equal([5, 2, 2]);
    expect(depthsIn(moveEdge(three, 1, 8.4))).to.deep.equal([3, 5, 1]);
    expect(depthsIn(moveEdge(three, 1, 99))).to.deep.equal([3, 5, 1]);
    expect(depthsIn(moveEdge(three, 0, -5))).to.deep.equal([1, 6, 2]);
  });

  it('are split and removed; a single depth and the last band stay', () => {
    expect(depthsIn(splitBand(three, 1))).to.deep.equal([3, 2, 2, 2]);
    expect(splitBand([{depths: 1, policy: 'full'}], 0)).to.have.length(1);
    expect(removeBand(three, 1)).to.deep.equal([{depths: 7, policy: 'full'}, three[2]]);
    expect(removeBand(three, 0)).to.deep.equal([{depths: 7, policy: 'h2o'}, three[2]]);
    expect(removeBand([three[0]!], 0)).to.deep.equal([three[0]]);
    expect(setPolicy(three, 2, 'full')[2]).to.deep.equal({depths: 2, policy: 'full'});
  });

  it('keep their shares in a model with other depths', () => {
    expect(depthsIn(fitBands(three, 9))).to.deep.equal([3, 4, 2]);
    expect(depthsIn(fitBands(three, 18))).to.deep.equal([6, 8, 4]);
    expect(depthsIn(fitBands(three, 30))).to.deep.equal([10, 13, 7]);
    expect(depthsIn(fitBands(three, 2))).to.deep.equal([1, 1]);
  });

  it('cover all depths, each with one at least, whatever is done to them', () => {
    const anyBands = fc.array(
      fc.integer({min: 1, max: 40}).map(depths => ({depths, policy: 'full'})),
      {minLength: 1, maxLength: 12},
    );
    fc.assert(
      fc.property(
        anyBands,
        fc.nat(),
        fc.integer({min: -50, max: 500}),
        fc.integer({min: 1, max: 90}),
        (bands, n, to, depths) => {
          const index = n % bands.length;
          const changed = [splitBand(bands, index), removeBand(bands, index)];
          if (bands.length > 1) changed.push(moveEdge(bands, n % (bands.length - 1), to));
          for (const each of changed) {
            expect(depthsOf(each)).to.equal(depthsOf(bands));
            expect(Math.min(...depthsIn(each))).to.be.at.least(1);
          }
          const fitted = fitBands(bands, depths);
          expect(depthsOf(fitted)).to.equal(depths);
          expect(Math.min(...depthsIn(fitted))).to.be.at.least(1);
        },
      ),
    );
  });
});
