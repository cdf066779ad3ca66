import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {attend} from '../../ops/attend/index.js';
import {mergePartials} from '../../ops/merge_partials/index.js';
import {denseForm, optionsOf, tensorsOfProblem} from '../support/attention_cases.js';
import {attentionOracle, type AttentionProblem} from '../support/attention_oracle.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose} from '../support/tensors.js';

const tokens = 70; // more than one tile of the kernel
const heads = 10; // of one key head: eight rows by fours, two by ones

/** What overflows, divides by zero or loses all digits when attention is computed naively. */
const extremes: {
  name: string;
  /** All channels of the token's key. */
  key: (token: number) => number;
  value: (token: number, channel: number) => number;
  /** All channels of all queries. */
  query: number;
}[] = [
  {name: 'equal scores', key: () => 1, value: (t, c) => Math.sin(t + c), query: 1},
  {name: 'keys of zero', key: () => 0, value: (t, c) => Math.cos(t * c), query: 1},
  {name: 'values of 1e30', key: t => Math.sin(t), value: (t, c) => 1e30 * Math.sin(t + c), query: 1},
  {name: 'values of 1e-30', key: t => Math.sin(t), value: (t, c) => 1e-30 * Math.sin(t + c), query: 1},
  {name: 'keys of 1e30', key: t => 1e30 * Math.sin(t), value: (t, c) => t + c, query: 1e-30},
  {name: 'keys of 1e-30', key: t => 1e-30 * Math.sin(t), value: (t, c) => t - c, query: 1e30},
  {name: 'a score of 1e30', key: t => (t === 66 ? 1e30 : 1), value: (t, c) => t + c, query: 1},
  {name: 'all scores but one -1e30', key: t => (t === 3 ? -1 : -1e30), value: (t, c) => t + c, query: 1},
  {name: 'an outlying key', key: t => (t === 41 ? 1e4 : 0.1), value: (t, c) => t - c, query: 1},
  {name: 'rising scores', key: t => 3 * t, value: (t, c) => t - c, query: 1},
  {name: 'falling scores', key: t => -3 * t, value: (t, c) => t - c, query: 1},
];

describeOnBackends('attend on extreme inputs', () => {
  for (const {name, key, value, query} of extremes) {
    it(`is right for ${name}`, async () => {
      const [dim, dimV] = [4, 6];
      const problem: AttentionProblem = {
        ...{batch: 1, heads, kvHeads: 1, queryTokens: 1, capacity: tokens, tokens, dim, dimV, scale: 0.5},
        queries: Float32Array.from({length: heads * dim}, () => query),
        keys: Float32Array.from({length: tokens * dim}, (_, i) => key(Math.floor(i / dim))),
        values: Float32Array.from({length: tokens * dimV}, (_, i) => value(Math.floor(i / dimV), i % dimV)),
      };
      const output = tf.tidy(() => {
        const tensors = tensorsOfProblem(problem);
        const [keys, values] = [denseForm(tensors.keys), denseForm(tensors.values)];
        return mergePartials([attend(tensors.queries, keys, values, optionsOf(problem))]);
      });
      const numbers = await output.data();
      expect([...numbers].every(Number.isFinite), 'all finite').to.be.true;
      // errors count relative to the largest value, which may be 1e30 or 1e-30
      const largest = Math.max(...Array.from(problem.values).map(Math.abs));
      const expected = attentionOracle(problem).output.map(x => x / largest);
      await expectClose(
        Float64Array.from(numbers, x => x / largest),
        expected,
        2e-6,
      );
      output.dispose();
    });
  }
});
