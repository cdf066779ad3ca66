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

  it('need a shape and a number of tokens', () => {
    const refused: readonly (readonly [shape: unknown, tokens: number, message: RegExp])[] = [
      [undefined, 5, /The shape of a cache: undefined was given; expected an object with depths/],
      [null, 5, /null was given/],
      [{...shape, kvHeads: undefined}, 5, /kvHeads = undefined; expected a whole number >= 1/],
      [{depths: 2, headDim: 16}, 5, /kvHeads is missing/],
      [{...shape, headDim: 1.5}, 5, /headDim = 1.5; expected a whole number >= 1/],
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
