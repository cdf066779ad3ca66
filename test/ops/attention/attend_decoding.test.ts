import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend} from '../../../ops/attention/attend/index.js';
import {wasmHeap} from '../../../ops/backends/wasm_heap.js';
import type {Encoding} from '../../../ops/encodings/encoding.js';
import {quantize} from '../../../ops/integer/index.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {
  denseEncoding,
  disposeEncoding,
  optionsOf,
  problemOf,
  scoringCases,
  tensorsOfProblem,
} from '../../support/attention_cases.js';
import {attentionOracle} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {expectClose} from '../../support/tensors.js';
import {skip} from '../../support/skip.js';

// What the wasm kernel does for few rows of queries: blocks of up to four rows, two tokens at a time, channels by fours and
// single ones, and long rows read ahead.

const dims = fc.constantFrom(1, 2, 3, 4, 7, 64, 65, 127, 128, 130, 255, 256);

const cases = fc.record({
  batch: fc.constant(1),
  kvHeads: fc.integer({min: 1, max: 2}),
  group: fc.integer({min: 1, max: 17}),
  queryTokens: fc.constant(1),
  tokens: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(31, 32, 33, 63, 64, 65, 129)),
  spare: fc.integer({min: 0, max: 2}),
  dim: dims,
  dimV: dims,
  causalOffset: fc.option(fc.integer({min: -9, max: 1}), {nil: undefined}),
  ...scoringCases,
  spread: fc.constant(1),
  seed: fc.integer(),
});

describeOnBackends(
  'attend while decoding',
  () => {
    it('is attention by its definition for any number of rows and channels', () =>
      fc.assert(
        fc.asyncProperty(cases, async one => {
          const problem = problemOf(one);
          const output = tf.tidy(() => {
            const {queries, keys, values} = tensorsOfProblem(problem);
            return mergePartials([
              attend(queries, denseEncoding(keys), denseEncoding(values), optionsOf(problem)),
            ]);
          });
          await expectClose(output, attentionOracle(problem).output, 1e-5);
          output.dispose();
        }),
        {numRuns: 150},
      ));

    for (const tokens of [8192, 32768]) {
      it(`takes at most 2 MB beside what is stored, over ${tokens} tokens`, () => {
        const x = tf.randomNormal<tf.Rank.R4>([1, 3, tokens, 64]);
        const layout = {dim: 64, groupSize: 64, symmetric: false} as const;
        const integers = (bits: 8 | 4): [Encoding, Encoding] => [
          quantize(x, {...layout, bits, groupAxis: 'channel'}),
          quantize(x, {...layout, bits, groupAxis: 'token'}),
        ];
        const queries = tf.randomNormal<tf.Rank.R4>([1, 9, 1, 64]);
        for (const [keys, values] of [
          [denseEncoding(x), denseEncoding(x)],
          integers(8),
          integers(4),
        ] as const) {
          const bytes = bytesTaken(() =>
            tf.tidy(() => void mergePartials([attend(queries, keys, values, {tokens, scale: 0.125})])),
          );
          expect(bytes, `bytes for ${keys.kind}`).to.be.within(1, 2 ** 21);
          if (keys.kind === 'integer') [keys, values].forEach(disposeEncoding);
        }
        tf.dispose([x, queries]);
      });
    }

    it('reads tensors beyond 2 GiB of heap', async function () {
      if (process.env['EIGENKV_TEST_LARGE_HEAP'] === undefined)
        skip(this, 'takes 3.5 GB and some seconds; set EIGENKV_TEST_LARGE_HEAP=1 to run it');
      const filler = Array.from({length: 9}, () => tf.zeros([2 ** 26])); // 256 MiB each
      const x = tf.randomNormal<tf.Rank.R4>([1, 1, 2000, 128], 0, 1, 'float32', 1);
      const query = tf.randomNormal<tf.Rank.R4>([1, 1, 1, 128], 0, 1, 'float32', 2);
      expect(wasmHeap()!.address(x)).to.be.greaterThan(2 ** 31);
      const keys = quantize(x.slice([0, 0, 0, 0], [1, 1, 1984, 128]), {
        ...{dim: 128, bits: 8, groupAxis: 'channel', groupSize: 64, symmetric: false},
      });
      const problem = {batch: 1, heads: 1, kvHeads: 1, queryTokens: 1, capacity: 2000, dim: 128, dimV: 128};
      const [numbers, ofQuery] = [await x.data(), await query.data()];
      const expected = attentionOracle({
        ...{...problem, tokens: 1984, scale: 0.1, queries: ofQuery, keys: numbers, values: numbers},
      }).output;
      const options = {tokens: 1984, scale: 0.1};
      const dense = tf.tidy(() =>
        mergePartials([attend(query, denseEncoding(x), denseEncoding(x), options)]),
      );
      await expectClose(dense, expected, 1e-5);
      const integer = tf.tidy(() => mergePartials([attend(query, keys, denseEncoding(x), options)]));
      await expectClose(integer, expected, 0.02); // eight bits
      disposeEncoding(keys);
      tf.dispose([...filler, x, query, dense, integer]);
    });
  },
  ['wasm'],
);

/** What a call allocates on tfjs' heap, with the kernels' scratch memory, which stays. */
function bytesTaken(run: () => void): number {
  const heap = wasmHeap()!;
  const {wasm} = tf.backend() as unknown as {wasm: {_malloc(bytes: number): number}};
  const [scratch, malloc] = [heap.scratch, wasm._malloc];
  let [largest, sum] = [0, 0];
  heap.scratch = bytes => {
    largest = Math.max(largest, bytes);
    return scratch(bytes);
  };
  wasm._malloc = bytes => {
    sum += bytes;
    return malloc(bytes);
  };
  try {
    run();
  } finally {
    heap.scratch = scratch;
    wasm._malloc = malloc;
  }
  return largest + sum;
}
