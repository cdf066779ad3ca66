import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {type CachedShape, cacheBytesPerToken} from '../../../src/evaluate/index.js';

describe('the bytes of a cache', () => {
  const shape = {depths: 2, kvHeads: 3, headDim: 16};
  before(() => useBackend('wasm'));

  it('are those of float32 without a plan that stores less, whatever else a config holds', () => {
    const floats = 2 * shape.depths * shape.kvHeads * shape.headDim;
    expect(cacheBytesPerToken({...shape, vocabSize: 5} as CachedShape, 'full', 7)).to.equal(4 * floats);
  });

  it('are no more than those of its window at depths that have one', () => {
    const floats = 2 * shape.kvHeads * shape.headDim;
    const bytesOf = (windows: Partial<CachedShape>) =>
      300 * cacheBytesPerToken({...shape, ...windows}, 'full', 300);
    const one = 4 * floats * 300;
    const windowed = bytesOf({window: 64}) / 2;
    expect(windowed / (4 * floats)).to.be.within(63, 64 + 20);
    expect(bytesOf({window: 64, windowed: [true, false]})).to.equal(windowed + one);
  });

  it('need a shape and a number of tokens', () => {
    const refused: readonly (readonly [shape: unknown, tokens: number, message: RegExp])[] = [
      [undefined, 5, /The shape of a cache: undefined was given; expected an object with depths/],
      [null, 5, /null was given/],
      [{...shape, kvHeads: undefined}, 5, /kvHeads = undefined; expected a whole number >= 1/],
      [{depths: 2, headDim: 16}, 5, /kvHeads is missing/],
      [{...shape, headDim: 1.5}, 5, /headDim = 1.5; expected a whole number >= 1/],
      [{...shape, window: 0}, 5, /window = 0; expected a whole number >= 1/],
      [{...shape, rope: 5}, 5, /rope = 5; expected a rotary configuration/],
      [shape, 0, /tokens = 0; expected a whole number >= 1/],
      [shape, NaN, /tokens = NaN; expected a whole number >= 1/],
    ];
    for (const [given, tokens, message] of refused) {
      expect(() => cacheBytesPerToken(given as CachedShape, 'full', tokens)).to.throw(
        InvalidArgumentError,
        message,
      );
    }
  });
});
