import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {append} from '../../ops/append/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

/** Rows of one head: [rows][columns]. A buffer is [batch * heads] of these. */
type Rows = number[][];

describeOnBackends('append', backend => {
  const writesInPlace = backend !== 'webgl';

  it('gives the rows one after another, whatever the chunks', async () => {
    await fc.assert(
      fc.asyncProperty(appends, async ({batch, heads, columns, dtype, capacity, chunks}) => {
        let buffer: tf.Tensor4D | undefined;
        const expected: Rows[] = Array.from({length: batch * heads}, () => []);
        let at = 0;
        for (const [rows, seed] of chunks) {
          const numbers = numbersOf(dtype, batch * heads * rows * columns, seed);
          const fresh = tf.tensor4d(numbers, [batch, heads, rows, columns], dtype);
          const former = buffer;
          const room = former !== undefined && at + rows <= former.shape[2];
          buffer = append(former, fresh, at, capacity);
          if (writesInPlace) expect(buffer === former, 'the same tensor comes back').to.equal(room);
          if (former !== undefined && former !== buffer) former.dispose();
          fresh.dispose();
          expected.forEach((head, h) => {
            for (let row = 0; row < rows; row++) {
              const from = (h * rows + row) * columns;
              head.push([...numbers.subarray(from, from + columns)]);
            }
          });
          at += rows;
          if (writesInPlace) expect(buffer.shape[2]).to.be.at.least(Math.max(at, room ? 0 : capacity));
          await expectRows(buffer, expected); // reading between writes, too: no stale copy may be left
        }
        expect(buffer!.dtype).to.equal(dtype);
        buffer!.dispose();
      }),
      {numRuns: 30},
    );
  });

  it('leaves the rows before and after alone', async () => {
    if (!writesInPlace) return;
    const buffer = append(undefined, tf.tensor4d([1, 2, 5, 6], [1, 2, 2, 1]), 0, 4);
    append(buffer, tf.tensor4d([-1, -2], [1, 2, 1, 1]), 2, 0);
    await expectClose(buffer, [1, 2, -1, 0, 5, 6, -2, 0], 0);
  });

  it('writes into a buffer that it did not make, or copies it', async () => {
    const buffer = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 4, 1]);
    const next = append(buffer, tf.tensor4d([-1, -2], [1, 2, 1, 1]), 2, 0);
    // tensorflow copies: an int32 tensor of the host is no memory that a GPU writes into
    const isIn = writesInPlace && backend !== 'tensorflow';
    expect(next === buffer).to.equal(isIn);
    await expectRows(next, [[[1], [2], [-1]], [[5], [6], [-2]]]); // prettier-ignore
    await expectClose(buffer, isIn ? [1, 2, -1, 4, 5, 6, -2, 8] : [1, 2, 3, 4, 5, 6, 7, 8], 0);
  });

  it('keeps old states readable', async () => {
    const fresh = tf.tensor4d([3, 4], [1, 1, 1, 2]);
    const old = append(undefined, tf.tensor4d([1, 2], [1, 1, 1, 2]), 0, 4);
    const next = append(old, fresh, 1, 4);
    await expectRows(old, [[[1, 2]]]);
    await expectRows(next, [[[1, 2], [3, 4]]]); // prettier-ignore
  });

  it('lets two states go on from the same rows: the second one gets a buffer of its own', async () => {
    const row = (x: number) => tf.tensor4d([x, -x], [1, 1, 1, 2]);
    const old = append(undefined, row(1), 0, 4);
    const first = append(old, row(2), 1, 4);
    const second = append(old, row(3), 1, 4);
    expect(second === old, 'shared').to.be.false;
    const third = append(first, row(4), 2, 4); // the spare rows of the first one are still its own
    expect(third === old).to.equal(writesInPlace);
    await expectRows(third, [[[1, -1], [2, -2], [4, -4]]]); // prettier-ignore
    await expectRows(second, [[[1, -1], [3, -3]]]); // prettier-ignore
  });

  it('does not touch or share the memory of the fresh rows', async () => {
    const fresh = tf.tensor4d([1, 2, 3, 4], [1, 1, 2, 2]);
    const buffer = append(undefined, fresh, 0, 2);
    append(buffer, tf.tensor4d([9, 9], [1, 1, 1, 2]), 0, 2);
    await expectClose(fresh, [1, 2, 3, 4], 0);
  });

  it('takes rows that were cast: on webgpu tfjs casts int32 to float32 by a new label on the same bits', async () => {
    const fresh = tf.tidy(() => tf.cast(tf.tensor4d([5, -6, 7, -8], [1, 1, 2, 2], 'int32'), 'float32'));
    const buffer = append(undefined, fresh, 0, 2);
    expect(buffer.dtype).to.equal('float32');
    await expectClose(buffer, [5, -6, 7, -8], 0);
  });

  it('takes no rows at all', async () => {
    const none = tf.zeros<tf.Rank.R4>([1, 2, 0, 3]);
    const empty = append(undefined, none, 0, 0);
    expect(empty.shape).to.deep.equal([1, 2, 0, 3]);
    const buffer = append(empty, tf.ones<tf.Rank.R4>([1, 2, 1, 3]), 0, 1);
    await expectClose(append(buffer, none, 1, 1), [1, 1, 1, 1, 1, 1], 0);
  });

  it('appends 70,000 rows at once', async () => {
    const rows = 70_000;
    const numbers = Int32Array.from({length: rows * 64}, (_, i) => i + 2 ** 30);
    const fresh = tf.tensor4d(numbers, [1, 1, rows, 64], 'int32');
    const buffer = append(undefined, fresh, 0, rows + 1);
    const read = await buffer.data();
    expect(
      Buffer.compare(
        Buffer.from(read.buffer, read.byteOffset, numbers.byteLength),
        Buffer.from(numbers.buffer),
      ),
    ).to.equal(0);
    tf.dispose([fresh, buffer]);
  });

  it('leaks nothing', () =>
    expectNoLeak(() =>
      tf.tidy(() => {
        const fresh = tf.ones<tf.Rank.R4>([1, 2, 3, 4]);
        return append(append(append(undefined, fresh, 0, 4), fresh, 3, 8), fresh, 5, 0);
      }),
    ));

  it('refuses what does not fit', () => {
    const buffer = tf.zeros<tf.Rank.R4>([1, 2, 4, 3]);
    const refuse = (fresh: tf.Tensor, at: number, message: RegExp, into: tf.Tensor4D | undefined = buffer) =>
      expect(() => append(into, fresh as tf.Tensor4D, at, 0)).to.throw(InvalidArgumentError, message);
    refuse(tf.zeros([1, 2, 1, 4]), 0, /do not fit the buffer/);
    refuse(tf.zeros([1, 1, 1, 3]), 0, /do not fit the buffer/);
    refuse(tf.zeros([2, 2, 1, 3]), 0, /do not fit the buffer/);
    refuse(tf.zeros([1, 2, 1, 3], 'int32'), 0, /int32.*do not fit the buffer float32/);
    refuse(tf.zeros([1, 2, 1, 3], 'bool'), 0, /expected float32 or int32/);
    refuse(tf.zeros([2, 1, 3]), 0, /four axes/);
    refuse(tf.zeros([1, 2, 1, 3]), 5, /at = 5.*0 to the buffer's 4/);
    refuse(tf.zeros([1, 2, 1, 3]), -1, /at = -1/);
    refuse(tf.zeros([1, 2, 1, 3]), 0.5, /at = 0.5/);
    expect(() => append(undefined, tf.zeros([1, 2, 1, 3]), 1, 0)).to.throw(InvalidArgumentError, /at = 1/);
  });
});

const appends = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  heads: fc.integer({min: 1, max: 3}),
  columns: fc.integer({min: 1, max: 9}),
  dtype: fc.constantFrom('float32' as const, 'int32' as const),
  capacity: fc.integer({min: 0, max: 12}),
  chunks: fc.array(fc.tuple(fc.integer({min: 1, max: 5}), fc.integer()), {minLength: 1, maxLength: 6}),
});

/** Numbers over the whole range of the dtype: packed words use every bit. */
function numbersOf(dtype: 'float32' | 'int32', length: number, seed: number): Float32Array | Int32Array {
  let state = seed | 1;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) | 0);
  return dtype === 'int32' ? Int32Array.from({length}, next) : Float32Array.from({length}, next);
}

/** The buffer starts with these rows in every head. */
async function expectRows(buffer: tf.Tensor4D, expected: Rows[]): Promise<void> {
  const [, , capacity, columns] = buffer.shape;
  const numbers = await buffer.data();
  expected.forEach((rows, head) => {
    const from = head * capacity * columns;
    expect([...numbers.subarray(from, from + rows.length * columns)]).to.deep.equal(rows.flat());
  });
}
