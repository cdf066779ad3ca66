import type * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {type Policy, full, quantized} from '../../../cache/index.js';
import {type Calibration, calibrate, compress} from '../../../models/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {analyzeRanks, evaluate, monitor} from '../../../src/evaluate/index.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer as tokenizer, tinyModel} from '../../support/tiny_model.js';

const text =
  'Whether I shall turn out to be the hero of my own life, or whether that station will be held by anybody else';
const config = {contextLength: 256};

/**
 * What the one table of rotary positions takes beside float32 keys and values of 2 depths with 2 heads of 8: 4 cosines and 4 sines
 * a position, and room for a sixteenth more, 16 at least.
 */
const tablesShare = (tokens: number) => (8 * (tokens + Math.max(16, tokens / 16))) / (2 * 2 * 2 * 8 * tokens);

describe('measuring a compressed model', () => {
  let dense: tf.LayersModel;
  let calibration: Calibration;
  before(async () => {
    await useBackend('wasm');
    dense = tinyModel();
    calibration = await calibrate({model: dense, tokenizer}, [text]);
  });
  after(() => dense.dispose());
  const compressed = async (keys: number, values: number, center = false) =>
    (await compress(dense, calibration, {ranks: {keys, values}, center})).model;

  it('evaluate: beside the dense model, which nothing differs from at full rank', async () => {
    const [whole, low] = [await compressed(8, 8), await compressed(3, 3)];
    const ids = tokenizer.encode(text);
    const {rows} = await evaluate({model: dense, contextLength: config.contextLength}, ids, {
      plans: [quantized({bits: 2, symmetric: true})],
      compared: [
        {name: 'whole', model: whole},
        {name: 'low', model: low, plans: [full(), quantized({groupSize: 4})]},
      ],
    });
    expect(rows.map(({plan}) => plan)).to.deep.equal([
      'full',
      'quantized:bits=2,symmetric=true',
      'whole, full',
      'low, full',
      'low, quantized:groupSize=4',
    ]);
    const [exact, coarse, same, truncated, both] = rows;
    expect(same!.klDivergence).to.be.below(1e-6);
    expect(same!.perplexity).to.be.closeTo(exact!.perplexity, 1e-3);
    expect(Math.min(coarse!.klDivergence, truncated!.klDivergence)).to.be.above(1e-5);
    expect(both!.klDivergence).to.be.above(0.5 * truncated!.klDivergence);
    // against the dense heads' float32, spare room aside
    const ratio = 3 / 8 + tablesShare(ids.length);
    expect(truncated!.bytesPerToken / exact!.bytesPerToken).to.be.closeTo(ratio, 0.01);
    expect(truncated!.ratioToFloat32 / exact!.ratioToFloat32).to.be.closeTo(ratio, 0.01);
    for (const model of [whole, low]) model.dispose();
  });

  it('monitor: errors of what is stored, by the keys that latents stand for', async () => {
    const model = await compressed(4, 4, true);
    const measure = (plan: Policy) =>
      monitor({model, tokenizer, contextLength: config.contextLength}, [text], {plan, chunk: 16});
    const [exact, coarse] = [await measure(full()), await measure(quantized({bits: 4, groupSize: 16}))];
    expect(exact.overall.keyError).to.be.below(1e-6);
    expect(exact.overall.outputError).to.be.below(1e-6);
    expect(coarse.overall.keyError).to.be.above(1e-3).and.below(0.3);
    expect(coarse.overall.outputError).to.be.above(1e-4).and.below(0.3);
    const tokens = tokenizer.encode(text).length;
    const ratio = exact.overall.compressedBytes / exact.overall.float32Bytes;
    expect(ratio).to.be.closeTo(0.5 + tablesShare(tokens), 0.05);
    await expectNoLeak(() => measure(full()));
    model.dispose();
  });

  it('ranks: of no more dimensions than latents have', async () => {
    const model = await compressed(3, 2);
    const {features} = await analyzeRanks({model, tokenizer, contextLength: config.contextLength}, [text], {
      energy: 1 - 1e-6,
    });
    for (const {feature, effectiveRank, dim} of features) {
      if (feature === 'keys' || feature === 'scores') {
        expect(dim).to.equal(8);
        expect(effectiveRank, feature).to.be.at.most(3);
      }
      if (feature === 'values') expect(effectiveRank).to.be.at.most(2);
    }
    model.dispose();
  });
});
