import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {setProfileOfModel} from '../../../cache/codecs/transform_profile/of_model.js';
import {predictedDivergences, widthsFor} from '../../../cache/codecs/transform_profile/widths.js';
import {
  KVCache,
  type PlanLike,
  type PolicyLike,
  adaptive,
  float8,
  full,
  h2o,
  layered,
  quantized,
  transform,
  uniformShapes,
} from '../../../cache/index.js';
import {embeddedText, loadModel} from '../../../models/index.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {calibratedLosses} from '../../../src/evaluate/certificate/calibrated.js';
import {certify, textIds} from '../../../src/evaluate/index.js';
import {type NamedCertificate, certificateText} from '../../../src/report/certificate_table.js';
import {certificateSection} from '../../../src/report/certificate_page.js';
import {rejection} from '../../base/files/rejection.js';
import {expectNoLeak} from '../../support/tensors.js';
import {randomProfile} from '../../support/transform_profile.js';
import {widestLine} from '../cli/support/wide.js';

describe('losses that a profile predicts', () => {
  const rope = {theta: 100};
  const profile = randomProfile({depths: 2, kvHeads: 2, dim: 64, rope});
  before(() => useBackend('wasm'));

  async function lossesOf(plan: PolicyLike | readonly PolicyLike[]) {
    const shapes = uniformShapes({depths: 2, heads: 4, kvHeads: 2, headDim: 64});
    setProfileOfModel(shapes, profile);
    const cache = new KVCache(shapes, plan);
    try {
      return (await calibratedLosses(cache))!;
    } finally {
      cache.dispose();
    }
  }

  it('are those of the widths for transform, and 0 for exact tokens', async () => {
    const {depths, predictedKl} = await lossesOf([transform({bits: 3}), full()]);
    const {keys, values} = predictedDivergences(profile, widthsFor(profile, {bits: 3}).depths)[0]!;
    expect(depths).to.deep.equal([keys + values, 0]);
    expect(predictedKl).to.equal(keys + values);
  });

  it('of integer codes fall by the square of the step', async () => {
    const [four, eight] = [await lossesOf(quantized({bits: 4})), await lossesOf(quantized({bits: 8}))];
    expect(four.predictedKl! / eight.predictedKl!).to.be.closeTo((255 / 15) ** 2, 40);
    // another way: with uniform errors in a range of 64 normal numbers, 4.7 deviations, each channel costs F_ii step^2 / 24
    let keysAlone = 0;
    for (const {keys} of profile.depths) {
      const {dim, kvHeads, analysis, synthesis, weights} = keys;
      for (let head = 0; head < kvHeads; head++) {
        for (let i = 0; i < dim; i++) {
          let [metric, variance] = [0, 0];
          for (let c = 0; c < dim; c++) {
            metric += analysis[(head * dim + i) * dim + c]! ** 2 * weights[head * dim + c]!;
            variance += synthesis[(head * dim + c) * dim + i]! ** 2;
          }
          keysAlone += (metric * variance * (4.7 / 15) ** 2) / 24;
        }
      }
    }
    expect(four.predictedKl! / keysAlone).to.be.within(1, 6); // values, and the mean that turns, come on top
  });

  it('are not known for policies that evict, keep the newest tokens exact, or need queries', async () => {
    for (const plan of [h2o(), layered({longTermBits: 4}), adaptive(), quantized({residual: 8})]) {
      expect((await lossesOf(plan)).predictedKl, plan.name).to.equal(undefined);
    }
    expect((await lossesOf(float8())).predictedKl).to.be.above(0);
    const shapes = uniformShapes({depths: 2, heads: 2, headDim: 64});
    using unknown = new KVCache(shapes, quantized());
    expect(await calibratedLosses(unknown)).to.equal(undefined);
  });
});

describe('a certificate', () => {
  let loaded: LoadedModel;
  let ids: readonly number[];
  let certificate: NamedCertificate;
  before(async () => {
    await useBackend('wasm');
    loaded = await loadModel();
    ids = textIds(loaded.tokenizer, await embeddedText('heldOut')).slice(0, 256);
    const found = await certify(loaded, ids, {plan: '0.08x', tokens: 224});
    certificate = {...found, model: 'embedded', text: 'held-out text'};
  });
  after(() => {
    loaded.dispose();
  });

  it('has what was predicted beside what was measured, as a whole and by depth', () => {
    const {plan, tokens, depths, whole, full: exact, sumOfDepths, calibratedOn} = certificate;
    expect([plan, tokens, depths.length, whole.plan, exact.plan]).to.deep.equal([
      '0.08x',
      224,
      9,
      '0.08x',
      'full',
    ]);
    expect(calibratedOn).to.be.an('array');
    expect(whole.predictedKl).to.be.closeTo(
      depths.reduce((sum, {predictedKl}) => sum + predictedKl!, 0),
      1e-9,
    );
    expect(whole.klDivergence / whole.predictedKl!).to.be.within(1 / 3, 3);
    expect(sumOfDepths / whole.klDivergence).to.be.within(0.6, 1.6);
    expect(whole.drift!.hasLeft).to.equal(false);
    const bytes = depths.reduce((sum, {bytesPerToken}) => sum + bytesPerToken, 0);
    const tables = 8 * 32; // bytes per token: cosines and sines of 32 pairs, and of some positions to come
    expect(whole.bytesPerToken - bytes).to.be.within(tables, 1.2 * tables);
    for (const {klDivergence, klStderr, policy, bytesPerToken} of depths) {
      expect(bytesPerToken).to.be.within(0.5 * (bytes / 9), 2 * (bytes / 9));
      expect(klDivergence).to.be.within(2 * klStderr, 0.3 * whole.klDivergence);
      expect(policy).to.match(/^transform:bits=/);
    }
    expect(whole.klStderr).to.be.within(0.01 * whole.klDivergence, whole.klDivergence);
    expect(whole.changeStderr).to.be.below(0.1 * (whole.perplexityStderr / whole.perplexity));
  });

  it('is a table within 80 columns, and a section of a page', () => {
    const text = certificateText(certificate, 80);
    const words = text.replaceAll('\n', ' ');
    expect(widestLine(text)).to.be.at.most(80);
    expect(words)
      .to.match(/times the predicted/)
      .and.match(/depth +bytes\/token +KL predicted/)
      .and.match(/within the calibrated statistics/);
    const html = certificateSection({...certificate, text: '<b>'});
    expect(html).to.include('&#60;b&#62;').and.not.include('class="warning"');
    const {whole} = certificate;
    const left = {
      ...certificate,
      whole: {...whole, drift: {...whole.drift!, hasLeft: true, drift: 2, values: 0.8}},
    };
    expect(certificateText(left, 200)).to.match(/WARNING: what is stored has left/);
    expect(certificateSection(left)).to.include('class="warning"');
  });

  it('refuses what cannot be certified, and leaks nothing', async () => {
    for (const [plan, message] of [
      ['full', /full loses nothing/],
      ['0.001x', /too small/],
      [undefined, /plan/],
    ] as [PlanLike, RegExp][]) {
      expect((await rejection(certify(loaded, ids, {plan}), InvalidArgumentError)).message).to.match(message);
    }
    const stop = new AbortController();
    await expectNoLeak(async () => {
      const onProgress = () => {
        stop.abort();
      };
      await rejection(certify(loaded, ids, {plan: '0.1x', signal: stop.signal, onProgress}), DOMException);
    });
  });
});
