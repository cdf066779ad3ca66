import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend, type Partial} from '../../../ops/attention/attend/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {hasKernel} from '../../../ops/run_op.js';
import {
  attentionCases,
  denseEncoding,
  disposeEncoding,
  optionsOf,
  optionsOfPart,
  problemOf,
  sideLayouts,
  store,
  tensorsOfProblem,
  type AttentionCase,
  type SideLayout,
} from '../../support/attention_cases.js';
import {attentionOracle, type AttentionAnswer} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {goldenTensor, readGolden, type GoldenArray} from '../../support/golden.js';
import {withReference} from '../../support/reference.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

/**
 * float32 against float64: a score is a sum of up to 64 products of size spread^2, whose rounding error its weight
 * exp(score) takes over. In 2,500 cases no error exceeded a fifth of this.
 */
const toleranceOf = ({spread}: AttentionCase) => 1e-5 * Math.max(1, spread ** 2);

interface AttentionGolden {
  readonly attention: {
    readonly name: string;
    readonly scale: number;
    readonly queries: GoldenArray;
    readonly keys: GoldenArray;
    readonly values: GoldenArray;
    readonly output: GoldenArray;
  }[];
}

const golden = readGolden('ops/attention.json') as AttentionGolden;

describeOnBackends('attend', backend => {
  // elsewhere the reference runs, tens of times slower; a software driver of webgpu takes seconds to compile a shader
  const numRuns = backend === 'wasm' ? 80 : backend === 'webgpu' ? 4 : 16;
  const exactIntegers = backend !== 'webgpu' && backend !== 'webgl';

  for (const one of golden.attention) {
    it(`gives the golden output: ${one.name}`, async () => {
      const [queries, keys, values] = [one.queries, one.keys, one.values].map(a => goldenTensor(a));
      const output = tf.tidy(() => {
        const tokens = keys!.shape[2];
        const firstQuery = tokens - queries!.shape[2];
        return mergePartials([
          attend(queries!, denseEncoding(keys!), denseEncoding(values!), {
            tokens,
            scale: one.scale,
            firstQuery,
          }),
        ]);
      });
      expect(output.shape).to.deep.equal(one.output.shape);
      await expectClose(output, one.output.data, 2e-6);
      tf.dispose([queries!, keys!, values!, output]);
    });
  }

  it('is attention by its definition, over dense encodings of any shape', () =>
    fc.assert(
      fc.asyncProperty(attentionCases, async attentionCase => {
        await expectAnswer(attentionCase, {key: undefined, value: undefined});
      }),
      {numRuns},
    ));

  if (exactIntegers) {
    it('is attention by its definition, over integer and mixed encodings of any layout', () =>
      fc.assert(
        fc.asyncProperty(attentionCases, sideLayouts, sideLayouts, async (attentionCase, key, value) => {
          await expectAnswer(attentionCase, {key, value});
        }),
        {numRuns},
      ));
  }

  it('splits into segments whose partials merge to the whole', () =>
    fc.assert(
      fc.asyncProperty(attentionCases, fc.array(fc.nat(), {maxLength: 3}), async (attentionCase, cuts) => {
        const problem = problemOf(attentionCase);
        const bounds = [0, ...cuts.map(cut => cut % (problem.tokens + 1)), problem.tokens].sort(
          (a, b) => a - b,
        );
        const merged = tf.tidy(() => {
          const {queries, keys, values} = tensorsOfProblem(problem);
          const part = (x: tf.Tensor4D, from: number, to: number) =>
            denseEncoding(tf.slice(x, [0, 0, from, 0], [-1, -1, to - from, -1]));
          return mergePartials(
            bounds.slice(1).map((to, i) => {
              const from = bounds[i]!;
              const options = optionsOfPart(problem, from, to - from);
              return attend(queries, part(keys, from, to), part(values, from, to), options);
            }),
          );
        });
        await expectClose(merged, attentionOracle(problem).output, toleranceOf(attentionCase));
        merged.dispose();
      }),
      {numRuns: numRuns / 2},
    ));

  it('gives [0, -Infinity, 0] to a query that sees no token', async () => {
    const partial = tf.tidy(() =>
      attend(
        tf.ones([1, 1, 3, 4]),
        denseEncoding(tf.ones([1, 1, 5, 4])),
        denseEncoding(tf.ones([1, 1, 5, 2])),
        {
          tokens: 5,
          scale: 1,
          firstQuery: -2,
        },
      ),
    );
    await expectClose(partial, [0, 0, -Infinity, 0, 0, 0, -Infinity, 0, 1, 1, 4, 1], 0);
    partial.dispose();
  });

  it('takes an empty segment', async () => {
    for (const capacity of [0, 3]) {
      const partial = tf.tidy(() =>
        attend(
          tf.ones([1, 2, 1, 4]),
          denseEncoding(tf.ones([1, 1, capacity, 4])),
          denseEncoding(tf.ones([1, 1, capacity, 1])),
          {
            tokens: 0,
            scale: 1,
          },
        ),
      );
      await expectClose(partial, [0, -Infinity, 0, 0, -Infinity, 0], 0);
      partial.dispose();
    }
  });

  it('leaks nothing', () =>
    expectNoLeak(() => {
      const ones = tf.ones<tf.Rank.R4>([1, 2, 70, 8]);
      const partial = attend(ones, denseEncoding(ones), denseEncoding(ones), {
        tokens: 70,
        scale: 1,
        firstQuery: 0,
      });
      ones.dispose();
      return partial;
    }));

  it('refuses what does not fit', () => {
    const ones = (...shape: number[]) => tf.ones<tf.Rank.R4>(shape as [number, number, number, number]);
    const refuse = (
      queries: tf.Tensor4D,
      keys: tf.Tensor4D,
      values: tf.Tensor4D,
      tokens: number,
      message: RegExp,
    ) =>
      expect(() => attend(queries, denseEncoding(keys), denseEncoding(values), {tokens, scale: 1})).to.throw(
        InvalidArgumentError,
        message,
      );
    refuse(ones(1, 3, 1, 4), ones(1, 2, 5, 4), ones(1, 2, 5, 4), 5, /multiple of the key heads/);
    refuse(ones(2, 2, 1, 4), ones(1, 2, 5, 4), ones(1, 2, 5, 4), 5, /batch/);
    refuse(ones(1, 2, 1, 3), ones(1, 2, 5, 4), ones(1, 2, 5, 4), 5, /dim/);
    refuse(ones(1, 2, 1, 4), ones(1, 2, 5, 4), ones(1, 1, 5, 4), 5, /do not fit keys/);
    refuse(ones(1, 2, 1, 4), ones(1, 2, 5, 4), ones(1, 2, 5, 4), 6, /tokens = 6.*0 to the segment's 5/);
    refuse(ones(1, 2, 1, 4), ones(1, 2, 5, 4), ones(1, 2, 4, 4), 5, /tokens = 5.*0 to the segment's 4/);
    refuse(ones(1, 2, 1, 4), ones(1, 2, 5, 4), ones(1, 2, 5, 4), 1.5, /tokens = 1.5/);
    const rank3: tf.Tensor = tf.ones([2, 1, 4]);
    refuse(rank3 as tf.Tensor4D, ones(1, 2, 5, 4), ones(1, 2, 5, 4), 5, /four axes/);
  });
});

/** Attention in these encodings answers as the oracle does over what the encodings decode to; the reference does, too. */
async function expectAnswer(
  attentionCase: AttentionCase,
  layouts: {key: SideLayout; value: SideLayout},
): Promise<void> {
  const problem = problemOf(attentionCase);
  const {queries, ...sides} = tensorsOfProblem(problem);
  const keys = store(sides.keys, problem.tokens, layouts.key);
  const values = store(sides.values, problem.tokens, layouts.value);
  const expected = attentionOracle({
    ...problem,
    keys: await keys.decoded.data(),
    values: await values.decoded.data(),
  });
  const options = optionsOf(problem);
  const run = () => attend(queries, keys.encoding, values.encoding, options);
  const reference = withReference('Attend', run);
  const tolerance = toleranceOf(attentionCase);
  await expectPartial(reference, expected, tolerance, 'reference');
  if (hasKernel('Attend')) {
    const partial = run();
    await expectPartial(partial, expected, tolerance, 'kernel');
    partial.dispose();
  }
  tf.dispose([
    queries,
    sides.keys,
    sides.values,
    keys.decoded,
    values.decoded,
    reference,
    options.bias ?? [],
  ]);
  disposeEncoding(keys.encoding);
  disposeEncoding(values.encoding);
}

async function expectPartial(
  partial: Partial,
  expected: AttentionAnswer,
  tolerance: number,
  what: string,
): Promise<void> {
  const columns = partial.shape[3];
  const dim = columns - 2;
  const numbers = await partial.data();
  const column = (c: number) => numbers.filter((_, i) => i % columns === c);
  const sums = column(dim + 1);
  const output = numbers
    .filter((_, i) => i % columns < dim)
    .map((value, i) => value / (sums[Math.floor(i / dim)]! || 1));
  await expectClose(column(dim), expected.max, tolerance, `${what}: max`);
  await expectClose(sums, expected.sum, tolerance, `${what}: sum`);
  await expectClose(output, expected.output, tolerance, `${what}: output`);
}
