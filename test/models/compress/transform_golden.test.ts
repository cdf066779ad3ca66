import {expect} from 'chai';
import {KVCache, transform} from '../../../cache/index.js';
import type {TransformPolicyOptions} from '../../../cache/policies/transform.js';
import {widthsByAge} from '../../../cache/codecs/transform_profile/widths_by_age.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {type GoldenArray, readGolden} from '../../support/golden.js';
import {expectClose} from '../../support/tensors.js';
import {logitsOf, meanNll, tinyModel} from '../architectures/tiny_models.js';
import {type GoldenProfile, profileOf} from './golden_profile.js';

type GoldenWidths = readonly {readonly keys: number[][]; readonly values: number[][]}[];

/** A text that a model reads in chunks: see test/golden/transform/models_golden.py. */
interface GoldenText {
  readonly model: string;
  readonly options: Required<Pick<TransformPolicyOptions, 'sinks' | 'near' | 'extraBits'>> & {
    readonly bits: number;
  };
  readonly chunks: readonly number[];
  readonly ids: readonly number[];
  readonly stored: number;
  readonly near: number;
  readonly profile: GoldenProfile;
  readonly widths: GoldenWidths;
  readonly nearWidths: GoldenWidths;
  readonly meanNll: number;
  readonly logits: GoldenArray;
}

const {cases} = readGolden('transform/models.json') as {cases: GoldenText[]};
// float32 against NumPy's float64; one code that differs by one moves a logit by 1e-3 or more
const tolerance = 1e-4;

// tfjs passes int32 through float32 on the others
const exact = testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl');

describeOnBackends(
  'texts under transform as NumPy has them',
  () => {
    for (const golden of cases) {
      it(`${golden.model}, ${golden.options.bits} bits, ${golden.near} tokens near`, async () => {
        const loaded = await tinyModel(golden.model);
        const {model} = loaded;
        const profile = await profileOf(golden.profile, loaded);
        const {sinks, bits, ...ages} = golden.options;
        const widths = widthsByAge(profile, bits, ages);
        expect(widths.far.depths).to.deep.equal(golden.widths);
        expect(ages.near === 0 || widths.near.depths).to.deep.equal(ages.near === 0 || golden.nearWidths);
        const cache = new KVCache(model, transform({...golden.options, profile}));
        const logits: number[] = [];
        for (const count of golden.chunks) {
          const from = cache.tokens;
          logits.push(...Array.from(await logitsOf(model, golden.ids.slice(from, from + count), {cache})));
        }
        const {held, recent} = cache.past(0)!;
        const tokens = [held['sinks']!, held['stored']!, held['finest'], recent].map(run => run?.tokens ?? 0);
        const waiting = golden.ids.length - sinks - golden.stored - golden.near;
        expect(tokens).to.deep.equal([sinks, golden.stored, golden.near, waiting]);
        await expectClose(logits, golden.logits.data, tolerance);
        expect(meanNll(logits, golden.ids)).to.be.closeTo(golden.meanNll, 1e-4);
        cache.dispose();
        model.dispose();
      });
    }
  },
  exact,
);
