import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend} from '../../../ops/attention/attend/index.js';
import {causalAttentionGradient} from '../../../ops/attention/causal/gradient.js';
import {causalAttention} from '../../../ops/attention/causal/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import type {Scoring} from '../../../ops/attention/scoring.js';
import {hasKernel} from '../../../ops/run_op.js';
import {attentionOracle} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {heapMemory} from '../../support/heap_memory.js';
import {numericGradient} from '../../support/numeric_gradient.js';
import {randomFloats} from '../../support/random.js';
import {withReference} from '../../support/reference.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

interface Shape {
  readonly batch: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly tokens: number;
  readonly dim: number;
  readonly dimV: number;
}

const shapes = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  kvHeads: fc.integer({min: 1, max: 2}),
  group: fc.integer({min: 1, max: 3}),
  tokens: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(63, 64, 65, 67, 128, 130)), // tiles have 64
  dim: fc.integer({min: 1, max: 18}),
  dimV: fc.integer({min: 1, max: 18}),
});

/** Options of scores, but for their scale. */
const scorings = fc.record({
  window: fc.option(fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(63, 64, 65, 100)), {
    nil: undefined,
  }),
  softCap: fc.option(fc.constantFrom(0.5, 4), {nil: undefined}),
  alibi: fc.boolean(),
});

describeOnBackends('the gradient of causalAttention', backend => {
  for (const [kind, scoring, members] of [
    ['of plain scores', {scale: 0.7}, 2],
    ['within a window', {scale: 0.7, window: 2}, 2],
    ['of capped scores', {scale: 2, softCap: 1.5}, 2],
    ['with ALiBi', {scale: 0.7, alibi: true}, 1],
    ['with all of them', {scale: 2, window: 3, softCap: 1.5, alibi: true}, 1],
  ] as const) {
    it(`is that of its definition ${kind}, by differences in double precision`, async () => {
      const shape = {batch: 2, kvHeads: 2, group: members, tokens: 5, dim: 3, dimV: 2};
      const {batch, kvHeads, group, tokens, dim, dimV} = shape;
      const heads = kvHeads * group;
      const inputs = numbersOf(shape);
      const weights = randomFloats(9, batch * heads * tokens * dimV);
      const lossAt = (moved: {
        queries?: Float64Array;
        keys?: Float64Array;
        values?: Float64Array;
      }): number => {
        const sizes = {batch, heads, kvHeads, queryTokens: tokens, capacity: tokens, tokens, dim, dimV};
        const {output} = attentionOracle({
          ...sizes,
          ...oracleOf(scoring, sizes),
          firstQuery: 0,
          ...inputs,
          ...moved,
        });
        return output.reduce((sum, value, i) => sum + value * weights[i]!, 0);
      };
      const gradients = gradientsOf(shape, weights, scoring);
      for (const [index, name] of (['queries', 'keys', 'values'] as const).entries()) {
        const expected = numericGradient(x => lossAt({[name]: x}), Float64Array.from(inputs[name]));
        await expectClose(gradients[index]!, expected, 2e-6, name);
      }
      tf.dispose(gradients);
    });
  }

  it('is that of the reference in any shape', () =>
    fc.assert(
      fc.asyncProperty(shapes, scorings, async (shape, made) => {
        const scoring = {...made, scale: 1 / Math.sqrt(shape.dim), alibi: made.alibi && shape.group === 1};
        const weights = randomFloats(
          9,
          shape.batch * shape.kvHeads * shape.group * shape.tokens * shape.dimV,
        );
        const run = () => gradientsOf(shape, weights, scoring);
        const expected = withReference('CausalAttentionGradient', run);
        const actual = run();
        // sums of up to 390 products of size 1
        for (const [i, gradient] of actual.entries()) await expectClose(gradient, expected[i]!, 2e-5);
        tf.dispose([...expected, ...actual]);
      }),
      {numRuns: backend === 'wasm' ? 60 : 2}, // elsewhere the reference is compared with itself
    ));

  it('takes log-sums over more tokens than these', async () => {
    const [values, half] = tf.tidy((): [tf.Tensor, tf.Tensor] => {
      const x = (seed: number): tf.Tensor4D => tf.randomNormal([1, 2, 70, 5], 0, 1, 'float32', seed);
      const inputs = {queries: x(1), keys: x(2), values: x(3), output: x(4), dy: x(5)};
      const {queries, keys} = inputs;
      const dense = (data: tf.Tensor4D) => ({kind: 'dense', dim: 5, data}) as const;
      const partial = attend(queries, dense(keys), dense(keys), {tokens: 70, scale: 0.4, firstQuery: 0});
      const logSums = partialLogSum([partial]);
      // as many tokens of the same scores besides, so that each probability is half of what it is among these
      const doubled = tf.add<tf.Tensor4D>(logSums, Math.log(2));
      const ofValues = (of: tf.Tensor4D) =>
        causalAttentionGradient({...inputs, logSums: of}, {scale: 0.4})[2];
      return [tf.div(ofValues(logSums), 2), ofValues(doubled)];
    });
    await expectClose(half, await values.data(), 1e-5);
    tf.dispose([values, half]);
  });

  it('leaks nothing', () =>
    expectNoLeak(() =>
      gradientsOf(
        {batch: 1, kvHeads: 1, group: 2, tokens: 9, dim: 4, dimV: 3},
        new Float32Array(54).fill(1),
        {scale: 0.5, window: 4, softCap: 3},
      ),
    ));

  if (backend === 'wasm') {
    it('takes no memory of queries by keys', () => {
      expect(hasKernel('CausalAttentionGradient')).to.be.true;
      const shape = {batch: 1, kvHeads: 1, group: 1, tokens: 4096, dim: 2, dimV: 2};
      const before = heapBytes();
      tf.dispose(gradientsOf(shape, new Float32Array(shape.tokens * 2).fill(1), {scale: 1}));
      // one such matrix has 64 MiB
      expect(heapBytes() - before).to.be.lessThan(2 ** 24);
    });
  }
});

function numbersOf({batch, kvHeads, group, tokens, dim, dimV}: Shape) {
  return {
    queries: randomFloats(1, batch * kvHeads * group * tokens * dim),
    keys: randomFloats(2, batch * kvHeads * tokens * dim),
    values: randomFloats(3, batch * kvHeads * tokens * dimV),
  };
}

/** The same scoring as the oracle takes it, with the biases of ALiBi as the paper writes them. */
function oracleOf(
  {scale, window, softCap, alibi}: Scoring,
  {batch, kvHeads, tokens}: {batch: number; kvHeads: number; tokens: number},
) {
  const biases = Array.from({length: batch * kvHeads * tokens}, (_, i) => {
    const head = Math.floor(i / tokens) % kvHeads;
    return 2 ** ((-8 * (head + 1)) / kvHeads) * (i % tokens);
  });
  return {
    ...{scale, softCap},
    ...(window && {window: {size: window, firstQuery: 0, positions: 0}}),
    ...(alibi && {bias: biases}),
  };
}

/** The gradients of sum(weights * causalAttention(...)) in queries, keys and values. */
function gradientsOf(shape: Shape, weights: Float32Array, scoring: Scoring): tf.Tensor[] {
  const {batch, kvHeads, group, tokens, dim, dimV} = shape;
  const heads = kvHeads * group;
  return tf.tidy(() => {
    const {queries, keys, values} = numbersOf(shape);
    const factors = tf.tensor4d(weights, [batch, heads, tokens, dimV]);
    return tf.grads((q, k, v) =>
      tf.sum(tf.mul(causalAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, scoring), factors)),
    )([
      tf.tensor4d(queries, [batch, heads, tokens, dim]),
      tf.tensor4d(keys, [batch, kvHeads, tokens, dim]),
      tf.tensor4d(values, [batch, kvHeads, tokens, dimV]),
    ]);
  });
}

/** What tfjs' heap takes now. */
function heapBytes(): number {
  return heapMemory().buffer.byteLength;
}
