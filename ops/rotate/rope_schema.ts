import * as v from 'valibot';
import {atLeast} from '../../base/options.js';

const finite = v.pipe(v.number(), v.finite());
const divisors = v.pipe(v.array(finite), v.readonly());

/** A `RopeConfig` as JSON, from a file that is not trusted. `ropeFrequencies` checks whether it fits a head. */
export const ropeSchema = v.strictObject({
  theta: v.exactOptional(finite),
  rotaryDim: v.exactOptional(atLeast(2)),
  interleaved: v.exactOptional(v.boolean()),
  scaling: v.exactOptional(
    v.variant('type', [
      v.strictObject({type: v.literal('linear'), factor: finite}),
      v.strictObject({
        type: v.literal('dynamic'),
        factor: finite,
        maxPositions: finite,
        originalMaxPositions: finite,
      }),
      v.strictObject({
        type: v.literal('llama3'),
        factor: finite,
        lowFreqFactor: finite,
        highFreqFactor: finite,
        originalMaxPositions: finite,
      }),
      v.strictObject({
        type: v.literal('yarn'),
        factor: finite,
        originalMaxPositions: finite,
        betaFast: v.exactOptional(finite),
        betaSlow: v.exactOptional(finite),
        attentionFactor: v.exactOptional(finite),
      }),
      v.strictObject({
        type: v.literal('longrope'),
        shortFactor: divisors,
        longFactor: divisors,
        maxPositions: finite,
        originalMaxPositions: finite,
        attentionFactor: v.exactOptional(finite),
      }),
      v.strictObject({type: v.literal('divisors'), divisors}),
    ]),
  ),
});
