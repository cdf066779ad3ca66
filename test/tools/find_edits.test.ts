import {expect} from 'chai';
import fc from 'fast-check';
import {applyEdits} from '../../ops/backends/binary_edits.js';
import {characters, single, textReader} from '../../ops/backends/binary_text.js';
import {findEdits} from '../../tools/build_kernels/find_edits.js';
import {rankedBytes, textOfBytes} from '../../tools/build_kernels/text_of_bytes.js';

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
        const ranked = rankedBytes(other!);
        expect([...applyEdits(other!, findEdits(other!, binary!, ranked), ranked)]).to.deep.equal([
          ...binary!,
        ]);
      }),
    );
  });

  it('copy what both have, moved runs too', () => {
    const other = Uint8Array.from({length: 200}, (_, i) => i);
    const binary = Uint8Array.of(...other.subarray(100), 255, 254, ...other.subarray(0, 100));
    // 254 and 255 are the first bytes that are two characters
    const ranked = Buffer.from(Uint8Array.from({length: 256}, (_, i) => (i + 169) % 256)).toString('hex');
    expect(findEdits(other, binary, ranked)).to.equal('0,0, 100,100,}#}! -200,100,');
  });
});

describe('bytes as a text', () => {
  it('are all bytes, the most frequent one character and the others two, none of which needs an escape', () => {
    const all = Uint8Array.from({length: 256}, (_, i) => i);
    const ranked = rankedBytes(Uint8Array.of(...all, 65, 65, 66));
    expect(ranked.slice(0, 6)).to.equal('414200');
    const text = textOfBytes(all, ranked);
    expect(text).to.have.length(256 + 256 - single);
    expect(text).to.match(/^[!-~]+$/);
    expect(text).to.not.match(/[,'"`\\$<]/);
    expect([...textReader(ranked)(text)]).to.deep.equal([...all]);
    expect((characters.length - single) * characters.length).to.be.at.least(256 - single);
  });
});
