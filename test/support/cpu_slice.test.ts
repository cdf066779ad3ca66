import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {kernelsOfTfjs} from './cpu_slice.js';

/** The size of an axis, and a part of it. A size of -1 takes all from `begin` on. */
const axis = fc.integer({min: 1, max: 4}).chain(size =>
  fc.integer({min: 0, max: size - 1}).chain(begin =>
    fc.record({
      ...{size: fc.constant(size), begin: fc.constant(begin)},
      taken: fc.oneof(fc.integer({min: 0, max: size - begin}), fc.constant(-1)),
    }),
  ),
);
const axes = fc.array(axis, {minLength: 1, maxLength: 5});
const dtypes = fc.constantFrom('float32' as const, 'int32' as const, 'bool' as const);

/** Shape, dtype and numbers of the result of tfjs' kernel. */
function expectedOf(name: keyof typeof kernelsOfTfjs, x: tf.Tensor, attrs: tf.NamedAttrMap) {
  const result = kernelsOfTfjs[name].kernelFunc({inputs: {x}, attrs, backend: tf.backend()});
  return [result].flat().map(({shape, dtype, dataId}) => {
    const numbers = tf.backend().readSync(dataId).slice();
    tf.backend().disposeData(dataId);
    return {shape, dtype, numbers};
  });
}

const read = (x: tf.Tensor) => ({shape: x.shape, dtype: x.dtype, numbers: x.dataSync()});

const numbersOf = (shape: number[], dtype: tf.DataType) =>
  tf.range(0, tf.util.sizeFromShape(shape)).reshape(shape).cast(dtype);

describe('test kernels on cpu', () => {
  before(() => tf.setBackend('cpu'));

  it('Slice equals the kernel of tfjs', () => {
    fc.assert(
      fc.property(axes, dtypes, (drawn, dtype) =>
        tf.tidy(() => {
          const shape = drawn.map(({size}) => size);
          const attrs = {begin: drawn.map(({begin}) => begin), size: drawn.map(({taken}) => taken)};
          const x = numbersOf(shape, dtype);
          expect([read(tf.slice(x, attrs.begin, attrs.size))]).to.deep.equal(expectedOf('Slice', x, attrs));
        }),
      ),
      {numRuns: 500},
    );
  });

  it('SplitV equals the kernel of tfjs', () => {
    fc.assert(
      fc.property(axes, dtypes, fc.nat(), fc.boolean(), (drawn, dtype, at, inEqualParts) =>
        tf.tidy(() => {
          const shape = drawn.map(({size}) => size);
          const split = at % shape.length;
          const {size, begin} = drawn[split]!;
          const attrs = {numOrSizeSplits: inEqualParts ? size : [begin, size - begin], axis: split};
          const x = numbersOf(shape, dtype);
          const actual = tf.split(x, attrs.numOrSizeSplits, attrs.axis).map(read);
          expect(actual).to.deep.equal(expectedOf('SplitV', x, attrs));
        }),
      ),
      {numRuns: 500},
    );
  });
});
