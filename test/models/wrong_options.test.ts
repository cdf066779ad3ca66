import {mkdtemp, readdir, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {InvalidArgumentError} from '../../base/errors.js';
import {expect} from 'chai';
import {calibrate, compress, embeddedText, fineTune, saveModel} from '../../models/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {rejection} from '../base/files/rejection.js';
import {characterTokenizer as tokenizer, tinyModel} from '../support/tiny_model.js';

/** Plain JavaScript has no types. */
const untyped = (given: unknown) => given as never;

describe('Options that are none', () => {
  const text = 'the quick brown fox';
  const wrong = [null, 5, [], 'x', {nonsense: 1}, {signal: 5}, {onProgress: 5}];

  it('are refused by what takes a while', async () => {
    const model = tinyModel(3);
    const loaded = {model, tokenizer};
    const calibration = await calibrate(loaded, text, {});
    for (const given of wrong) {
      const what = JSON.stringify(given);
      await rejection(calibrate(loaded, text, untyped(given)), InvalidArgumentError).catch(fail(what));
      await rejection(compress(loaded, calibration, untyped(given)), InvalidArgumentError).catch(fail(what));
      await rejection(fineTune(loaded, text, untyped(given)), InvalidArgumentError).catch(fail(what));
    }
    for (const ranks of [null, 5, 'x', {nonsense: 1}, {keys: 1}, [8]]) {
      await rejection(compress(loaded, calibration, untyped({ranks})), InvalidArgumentError, /ranks/);
    }
    for (const none of [null, undefined, 5, {}]) {
      await rejection(compress(loaded, untyped(none)), InvalidArgumentError, /as a calibration/);
    }
    for (const callbacks of [5, null, [5]]) {
      await rejection(fineTune(loaded, text, untyped({callbacks})), InvalidArgumentError, /callbacks/);
    }
    model.dispose();
  });

  it('are refused before a file is written', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-options-'));
    const model = tinyModel(3);
    const whole = untyped({model, tokenizer, config: {}});
    for (const given of [null, 5, 'x', {dtype: 'F8'}, {dtpe: 'F16'}]) {
      await rejection(saveModel(whole, folder, untyped(given)), InvalidArgumentError, /saveModel/);
    }
    for (const place of [null, 5, [], {}]) {
      await rejection(saveModel(whole, untyped(place)), InvalidArgumentError, /expected a path/);
    }
    await rejection(saveModel(untyped(null), folder), InvalidArgumentError, /is no model/);
    expect(await readdir(folder)).to.deep.equal([]);
    model.dispose();
    await rm(folder, {recursive: true});
  });

  it('are refused as names of backends and texts', async () => {
    for (const name of [null, 5, {}, undefined, Symbol('x')]) {
      await rejection(useBackend(untyped(name)), InvalidArgumentError, /expected one of/);
    }
    for (const name of [undefined, 'validation', 'toString']) {
      await rejection(embeddedText(untyped(name)), InvalidArgumentError, /heldOut/);
    }
  });
});

const fail = (what: string) => (error: unknown) => {
  throw new Error(`with ${what}`, {cause: error});
};
