import {expect} from 'chai';
import fc from 'fast-check';
import {applyEdits, bytesOfHex} from '../../ops/backends/binary_edits.js';
import {findEdits, hexOf} from '../../tools/build_kernels/find_edits.js';

/** Pieces of four kinds of bytes, so that runs repeat; two binaries share most of them, in any order. */
const pieces = fc.array(fc.uint8Array({max: 3, minLength: 1, maxLength: 30}), {minLength: 1, maxLength: 8});
const pairs = pieces.chain(shared => {
  const some = fc.array(fc.oneof(fc.constantFrom(...shared), fc.uint8Array({maxLength: 6})), {maxLength: 30});
  return fc
    .tuple(some, some)
    .map(both => both.map(parts => Uint8Array.from(parts.flatMap(part => [...part]))));
});

describe('the edits that make one binary of another', () => {
  it('make exactly that one', () => {
    fc.assert(
      fc.property(pairs, ([other, binary]) => {
        expect(hexOf(applyEdits(other!, findEdits(other!, binary!)))).to.equal(hexOf(binary!));
      }),
    );
  });

  it('copy what both have, moved runs too', () => {
    const other = Uint8Array.from({length: 200}, (_, i) => i);
    const binary = Uint8Array.of(...other.subarray(100), 255, 254, ...other.subarray(0, 100));
    expect(findEdits(other, binary)).to.equal('0,0, 100,100,fffe -200,100,');
  });

  it('write bytes as two digits each', () => {
    const all = Uint8Array.from({length: 256}, (_, i) => i);
    expect([...bytesOfHex(hexOf(all))]).to.deep.equal([...all]);
  });
});
