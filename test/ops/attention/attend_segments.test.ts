import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend} from '../../../ops/attention/attend/index.js';
import {attendSegments, type AttendedSegment} from '../../../ops/attention/attend/segments.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import type {Encoding, LowRankEncoding} from '../../../ops/encodings/encoding.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {
  attentionCases,
  denseEncoding,
  disposeEncoding,
  optionsOfPart,
  problemOf,
  sideLayouts,
  store,
  tensorsOfProblem,
} from '../../support/attention_cases.js';
import {attentionOracle} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {withReference} from '../../support/reference.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

/** Where a text is cut, and how each piece of it is stored. */
const pieces = fc.array(fc.record({cut: fc.nat(), keys: sideLayouts, values: sideLayouts}), {maxLength: 3});

describeOnBackends('attendSegments', backend => {
  const numRuns = backend === 'wasm' ? 60 : backend === 'webgpu' ? 3 : 12;

  it('is attention over all of its segments, whatever each is stored as', () =>
    fc.assert(
      fc.asyncProperty(attentionCases, pieces, async (attentionCase, cuts) => {
        const problem = problemOf({...attentionCase, spare: 0});
        const {tokens, kvHeads, batch, dim, dimV} = problem;
        const tensors = tensorsOfProblem(problem);
        const bounds = [...cuts.map(({cut}) => cut % (tokens + 1)), tokens].sort((a, b) => a - b);
        const segments: AttendedSegment[] = [];
        const decoded: [tf.Tensor4D, tf.Tensor4D][] = [];
        let from = 0;
        for (const [i, to] of bounds.entries()) {
          const sides = [tensors.keys, tensors.values].map((x, side) => {
            const part = tf.slice(x, [0, 0, from, 0], [-1, -1, to - from, -1]);
            const stored = store(part, to - from, side === 0 ? cuts[i]?.keys : cuts[i]?.values);
            part.dispose();
            return stored;
          });
          segments.push({
            ...{keys: sides[0]!.encoding, values: sides[1]!.encoding},
            ...optionsOfPart(problem, from, to - from),
          });
          decoded.push([sides[0]!.decoded, sides[1]!.decoded]);
          from = to;
        }
        const run = () => attendSegments(tensors.queries, segments);
        const output = run();
        const whole = [0, 1].map(side =>
          tf.concat(
            decoded.map(pair => pair[side]!),
            2,
          ),
        );
        expect(whole[0]!.shape).to.deep.equal([batch, kvHeads, tokens, dim]);
        const expected = attentionOracle({
          ...problem,
          capacity: tokens,
          keys: await whole[0]!.data(),
          values: await whole[1]!.data(),
        });
        const tolerance = 1e-5 * Math.max(1, attentionCase.spread ** 2);
        expect(output.shape.at(-1)).to.equal(dimV);
        await expectClose(output, expected.output, tolerance);
        const reference = withReference('AttendSegments', run);
        await expectClose(output, reference, 1e-6); // the same kernels
        tf.dispose([tensors, decoded, whole, output, reference] as tf.TensorContainer);
        for (const {keys, values, bias} of segments) {
          [keys, values].forEach(disposeEncoding);
          bias?.dispose();
        }
      }),
      {numRuns},
    ));

  it('attends low rank beside token encodings, for few queries and many', async () => {
    const [x, queries] = [
      tf.randomNormal<tf.Rank.R4>([1, 2, 9, 4]),
      tf.randomNormal<tf.Rank.R4>([1, 4, 20, 4]),
    ];
    const basis = tf.eye(4).reshape<tf.Tensor4D>([1, 1, 4, 4]).tile<tf.Tensor4D>([1, 2, 1, 1]);
    const lowRank: LowRankEncoding = {kind: 'lowRank', dim: 4, rank: 4, latents: denseEncoding(x), basis};
    const segment = (keys: Encoding, values: Encoding): AttendedSegment => ({
      keys,
      values,
      tokens: 9,
      scale: 0.5,
    });
    const plain = segment(denseEncoding(x), denseEncoding(x));
    for (const few of [queries, tf.slice(queries, [0, 0, 0, 0], [-1, -1, 1, -1])]) {
      const expected = tf.tidy(() =>
        mergePartials(
          [0, 1].map(() => attend(few, denseEncoding(x), denseEncoding(x), {tokens: 9, scale: 0.5})),
        ),
      );
      for (const first of [plain, segment(lowRank, denseEncoding(x)), segment(denseEncoding(x), lowRank)]) {
        const output = attendSegments(few, [first, plain]);
        await expectClose(output, expected, 2e-6);
        output.dispose();
      }
      expected.dispose();
    }
    await expectNoLeak(() => attendSegments(queries, [segment(lowRank, lowRank), plain]));
    tf.dispose([x, queries, basis]);
  });

  it('gives zeros to a query that sees no token, and leaks nothing', async () => {
    const [queries, x] = [tf.ones<tf.Rank.R4>([1, 2, 1, 4]), tf.ones<tf.Rank.R4>([1, 1, 5, 4])];
    const empty = {keys: denseEncoding(x), values: denseEncoding(x), tokens: 0, scale: 1};
    const output = attendSegments(queries, [empty, empty]);
    await expectClose(output, new Float32Array(8), 0);
    await expectNoLeak(() => attendSegments(queries, [empty, {...empty, tokens: 3}]));
    tf.dispose([queries, x, output]);
  });

  it('says what does not fit', () => {
    const ones = (...shape: number[]) => tf.ones<tf.Rank.R4>(shape as [number, number, number, number]);
    const queries = ones(1, 2, 1, 4);
    const segment = (dimV: number, tokens: number) => ({
      ...{
        keys: denseEncoding(ones(1, 1, 5, 4)),
        values: denseEncoding(ones(1, 1, 5, dimV)),
        tokens,
        scale: 1,
      },
    });
    expect(() => attendSegments(queries, [])).to.throw(InvalidArgumentError, /at least one/);
    expect(() => attendSegments(queries, [segment(3, 5), segment(2, 5)])).to.throw(
      InvalidArgumentError,
      /dim 3 and 2/,
    );
    expect(() => attendSegments(queries, [segment(3, 6)])).to.throw(InvalidArgumentError, /tokens = 6/);
  });
});
