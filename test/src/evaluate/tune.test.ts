import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {asPlan} from '../../../cache/index.js';
import {embeddedText, loadModel} from '../../../models/index.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {type Tuning, textIds, tune} from '../../../src/evaluate/index.js';
import {tunePage} from '../../../src/report/tune_page.js';
import {tuneColumnNames, tuneTable} from '../../../src/report/tune_table.js';
import {rejection} from '../../base/files/rejection.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';
import {widestLine} from '../cli/support/wide.js';

describe('tune', () => {
  let loaded: LoadedModel;
  let ids: readonly number[];
  let bySize: Tuning;
  before(async () => {
    await useBackend('wasm');
    loaded = await loadModel();
    ids = textIds(loaded.tokenizer, await embeddedText('heldOut')).slice(0, 256);
    bySize = await tune(loaded, ids, {targetRatio: 0.09});
  });
  after(() => {
    loaded.dispose();
  });

  it('chooses the bits of a budget, and measures them', () => {
    const {chosen, plan, points, tokens} = bySize;
    expect(tokens).to.equal(256);
    const ofBudget = asPlan('0.09x').policyFor(0, 9, loaded.model).options['bits'];
    expect(chosen.bits).to.equal(ofBudget);
    expect(asPlan(plan).policyFor(0, 9, loaded.model).options['bits']).to.equal(ofBudget);
    expect(chosen.ratio).to.be.within(0.085, 0.09);
    expect(chosen.measured!.ratioToFloat32).to.be.above(chosen.ratio);
    expect(chosen.measured!.drift!.hasLeft).to.equal(false);
    const measured = points.filter(point => point.measured !== undefined);
    expect(measured.length).to.equal(3);
    for (const {predictedKl, measured: found} of measured) {
      expect(predictedKl! / found!.klDivergence).to.be.within(0.75, 1.25);
      expect(found!.klStderr).to.be.within(0, found!.klDivergence);
    }
    points.slice(1).forEach((point, i) => {
      expect(point.ratio).to.be.above(points[i]!.ratio);
      expect(point.predictedKl!, `${point.bits} bits`).to.be.below(points[i]!.predictedKl!);
    });
  });

  it('chooses the fewest bits for a loss', async () => {
    const {chosen, points} = await tune(loaded, ids, {maxKl: 0.001, tokens: 160});
    expect(chosen.measured!.klDivergence).to.be.at.most(0.001);
    const fewer = points.filter(({bits, measured}) => bits < chosen.bits - 0.2 && measured !== undefined);
    for (const {measured} of fewer) expect(measured!.klDivergence).to.be.above(0.001);
  });

  it('chooses the fewest bits of all if they lose less', async () => {
    const {chosen, points} = await tune(loaded, ids, {maxKl: 1, tokens: 100});
    expect(chosen.bits).to.equal(points[0]!.bits);
  });

  it('predicts nothing where what it measured is mostly noise', async () => {
    const {chosen, points} = await tune(loaded, ids, {maxKl: 1e-12, tokens: 160});
    expect(chosen.bits).to.equal(8);
    const predicted = points.filter(({predictedKl}) => predictedKl !== undefined);
    expect(predicted.map(({bits}) => bits)).to.include.members([7, 8]); // measured
    expect(Math.min(...predicted.map(({bits}) => bits))).to.be.above(4);
    expect(tuneTable(points, chosen, {width: 200})).to.match(/^ *4 +0\.156x +- +- /m);
  });

  it('is a table and a page', () => {
    const table = tuneTable(bySize.points, bySize.chosen, {width: 80});
    expect(widestLine(table)).to.be.at.most(80);
    expect(tuneTable(bySize.points, bySize.chosen, {chosen: [...tuneColumnNames], width: 200})).to.include(
      `> ${bySize.chosen.bits}`,
    );
    const page = tunePage({
      model: '<m>',
      text: 'a text',
      tuning: bySize,
      curve: '<svg>curve</svg>',
      bits: '<svg>bits</svg>',
    });
    expect(page)
      .to.include('&#60;m&#62;')
      .and.include('<svg>curve</svg>')
      .and.include('within the calibrated');
  });

  it('refuses what cannot be, and says the nearest', async () => {
    const wrong: [Parameters<typeof tune>[2], RegExp][] = [
      [{}, /give targetRatio.*or maxKl/],
      [{targetRatio: 0.1, maxKl: 0.1}, /not both/],
      [{targetRatio: 0.001}, /codes take from 0\.0\d+x to 0\.\d+x of float32/],
      [{targetRatio: 0.9}, /codes take from/],
      [{maxKl: -1}, /maxKl/],
    ];
    for (const [options, message] of wrong) {
      expect((await rejection(tune(loaded, ids, options), InvalidArgumentError)).message).to.match(message);
    }
    const tiny = {model: tinyModel(1), tokenizer: characterTokenizer, contextLength: 64};
    const {message} = await rejection(tune(tiny, [1, 2, 3], {targetRatio: 0.1}), InvalidArgumentError);
    expect(message).to.match(/needs a profile/);
    tiny.model.dispose();
  });
});
