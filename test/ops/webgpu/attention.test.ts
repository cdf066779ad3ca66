import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {attend} from '../../../ops/attention/attend/index.js';
import {
  attentionStatistics,
  type AttentionStatisticsOptions,
} from '../../../ops/attention/statistics/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {expectAsOnCpu} from '../../support/on_both.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {cases, inputsOf} from './cases.js';

// The shaders against the references on cpu, over the same codes. A software driver takes seconds to compile one, so these are
// cases that were chosen: every encoding, lengths around the edges of tiles and splits, dims that fill no lane.

const statistics: [what: string, Pick<AttentionStatisticsOptions, 'statistic' | 'threshold'>][] = [
  ['mass', {statistic: 'mass'}],
  ['uses', {statistic: 'uses', threshold: 0.03}],
  ['lastUse', {statistic: 'lastUse', threshold: 0.03}],
];

describeOnBackends(
  'shaders of attention',
  () => {
    for (const [name, one] of Object.entries(cases)) {
      it(`attend as the reference does: ${name}`, () =>
        expectAsOnCpu(
          () => inputsOf(one),
          // normalised: the partial's own sum may be large
          ({queries, keys, values, options}) => {
            const partial = attend(queries, keys, values, options);
            return [mergePartials([partial]), partialLogSum([partial])];
          },
          1e-5,
        ));
    }

    for (const name of [
      'dense, capped, within a window over splits',
      'int4, causal, within a window that leaves tiles out',
      'dense, within a window over tokens with positions of their own',
    ]) {
      for (const [what, statistic] of statistics) {
        it(`sum up ${what} of attention as the reference does: ${name}`, () =>
          expectAsOnCpu(
            () => inputsOf(cases[name]!),
            ({queries, keys, values, options}) => {
              const logSum = partialLogSum([attend(queries, keys, values, options)]);
              return attentionStatistics(queries, keys, logSum, {...options, ...statistic});
            },
            1e-5,
          ));
      }
    }

    for (const [what, statistic] of statistics) {
      it(`sum up ${what} of attention as the reference does`, () =>
        expectAsOnCpu(
          () => inputsOf({...cases['int2 by token, causal']!, group: 3, tokens: 80, firstQuery: 66}),
          ({queries, keys, values, options}) => {
            const logSum = partialLogSum([attend(queries, keys, values, options)]);
            return attentionStatistics(queries, keys, logSum, {...options, ...statistic});
          },
          1e-5,
        ));
    }

    it('sum up attention over keys that are rebuilt and rotated', () =>
      expectAsOnCpu(
        () =>
          inputsOf({
            ...cases['low rank rebuilt and rotated at positions of each token']!,
            ...{queryTokens: 3, biased: true},
          }),
        ({queries, keys, values, options}) => {
          const logSum = partialLogSum([attend(queries, keys, values, options)]);
          return attentionStatistics(queries, keys, logSum, {...options, statistic: 'mass'});
        },
        1e-5,
      ));

    it('merge more partials than a shader binds buffers', async () => {
      const numbers = Array.from({length: 10}, (_, i) => [2 * i, Math.log(i), 1].map(x => (i === 0 ? 0 : x)));
      numbers[0] = [0, -Infinity, 0];
      const [output, logSum] = tf.tidy(() => {
        const partials = numbers.map(partial => tf.tensor4d(partial, [1, 1, 1, 3]));
        return [mergePartials(partials), partialLogSum(partials)];
      }) as [tf.Tensor, tf.Tensor];
      // partial i has the weight i and the output 2 i: 2 sum i^2 / sum i over 1 .. 9
      await expectClose(output, [570 / 45], 1e-5);
      await expectClose(logSum, [Math.log(45)], 1e-5);
      tf.dispose([output, logSum]);
    });

    it('leave nothing behind', () =>
      expectNoLeak(() =>
        tf.tidy(() => {
          const {queries, keys, values, options} = inputsOf(
            cases['low rank rebuilt and rotated at positions of each token']!,
          );
          return attend(queries, keys, values, options);
        }),
      ));

    it('refuse heads that no tile holds', () => {
      const wide = (tokens: number): tf.Tensor4D => tf.zeros([1, 1, tokens, 1025]);
      const encoding = {kind: 'dense', dim: 1025, data: wide(2)} as const;
      expect(() => attend(wide(1), encoding, encoding, {tokens: 2, scale: 1})).to.throw(
        InvalidArgumentError,
        /dim 1025.*up to 1024/,
      );
    });
  },
  testBackends.filter(backend => backend === 'webgpu'),
);
