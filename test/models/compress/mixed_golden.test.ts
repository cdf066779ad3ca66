import {expect} from 'chai';
import {KVCache, type MixedOptions, mixed} from '../../../cache/index.js';
import {levelNames} from '../../../cache/codecs/transform_profile/levels.js';
import {widthsOfLevels} from '../../../cache/codecs/transform_profile/widths_by_age.js';
import {hostPositions} from '../../../cache/past/decode.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {type GoldenArray, readGolden} from '../../support/golden.js';
import {expectClose} from '../../support/tensors.js';
import {logitsOf, meanNll, tinyModel} from '../architectures/tiny_models.js';
import {type GoldenProfile, profileOf} from './golden_profile.js';

/** A text that a model reads in chunks: see test/golden/transform/mixed_golden.py. */
interface GoldenText {
  readonly model: string;
  readonly options: Required<Pick<MixedOptions, 'sinks' | 'near' | 'budget'>> & {readonly bits: '6/2'};
  readonly chunks: readonly number[];
  readonly ids: readonly number[];
  /** The positions of each level of each head, by depth. */
  readonly held: readonly (readonly (readonly number[][])[])[];
  readonly profile: GoldenProfile;
  /** The widths of each level, by depth. */
  readonly levels: readonly (readonly {readonly keys: number[][]; readonly values: number[][]}[])[];
  readonly meanNll: number;
  readonly logits: GoldenArray;
}

const {cases} = readGolden('transform/mixed.json') as {cases: GoldenText[]};
// float32 against NumPy's float64; one code that differs by one moves a logit by 1e-3 or more
const tolerance = 1e-4;

// tfjs passes int32 through float32 on the others
const exact = testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl');

describeOnBackends(
  'texts under mixed as NumPy has them',
  () => {
    for (const golden of cases) {
      const {options, ids, chunks, held, levels} = golden;
      it(`${golden.model}, ${options.bits} bits, ${options.near} tokens near`, async () => {
        const loaded = await tinyModel(golden.model);
        const {model} = loaded;
        const profile = await profileOf(golden.profile, loaded);
        const widths = widthsOfLevels(profile, options.bits.split('/').map(Number));
        expect(widths.map(({depths}) => depths)).to.deep.equal(levels);
        const cache = new KVCache(model, mixed({...options, profile}));
        const logits: number[] = [];
        for (const count of chunks) {
          const from = cache.tokens;
          logits.push(...Array.from(await logitsOf(model, ids.slice(from, from + count), {cache})));
        }
        for (const [depth, ofDepth] of held.entries()) {
          for (const [level, name] of levelNames(levels.length).entries()) {
            const segment = cache.past(depth)!.held[name];
            const positions = segment === undefined ? [] : await hostPositions(segment);
            const sorted = ofDepth[level]!.map((_, head) => {
              const row = positions.length === 1 ? positions[0]! : (positions[head] ?? []);
              return Array.from(row).sort((a, b) => a - b);
            });
            expect(sorted, `${name} of depth ${depth}`).to.deep.equal(ofDepth[level]);
          }
        }
        await expectClose(logits, golden.logits.data, tolerance);
        expect(meanNll(logits, ids)).to.be.closeTo(golden.meanNll, 1e-4);
        cache.dispose();
        model.dispose();
      });
    }
  },
  exact,
);
