import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {
  type Calibration,
  calibrate,
  loadCalibration,
  mergeCalibrations,
  saveCalibration,
} from '../../../models/index.js';
import {writeSafetensors} from '../../../base/files/write_safetensors.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {FormatError, InvalidArgumentError} from '../../../base/errors.js';
import {rotate} from '../../../ops/rotate/index.js';
import {rotationFor} from '../../../ops/rotate/rope.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';
import {rejection} from '../../base/files/rejection.js';

const [heads, kvHeads, dim] = [4, 2, 8]; // of the tiny model
const text = 'It is a truth universally acknowledged, that a single man in possession of a good fortune';
const other = 'Call me Ishmael. Some years ago - never mind how long precisely';

describe('calibration', () => {
  let model: tf.LayersModel;
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel();
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-calibration-'));
  });
  after(async () => {
    model.dispose();
    await rm(folder, {recursive: true});
  });
  const run = (texts: string[], options = {}) =>
    calibrate({model, tokenizer: characterTokenizer}, texts, options);

  it('sums the Gram matrices of what the layer projects', async () => {
    const {tokens, depths} = await run([text], {chunk: 20});
    const ids = characterTokenizer.encode(text);
    expect(tokens).to.equal(ids.length);
    expect(depths.map(depth => [depth.kvHeads, depth.dim])).to.deep.equal([
      [kvHeads, dim],
      [kvHeads, dim],
    ]);
    // the first attention layer again, by hand
    const layer = model.layers.find(each => each.getClassName() === 'EigenkvAttention')!;
    const upTo = tf.model({inputs: model.inputs, outputs: layer.input});
    const expected = tf.tidy(() => {
      const x = tf.squeeze(upTo.apply(tf.tensor2d(ids, [1, ids.length], 'int32')) as tf.Tensor, [0]);
      const [wq, wk, wv] = layer.getWeights() as [tf.Tensor, tf.Tensor, tf.Tensor];
      const project = (w: tf.Tensor, count: number) =>
        tf.transpose<tf.Tensor4D>(tf.reshape(tf.matMul(x, w), [1, ids.length, count, dim]), [0, 2, 1, 3]);
      const rotation = rotationFor({theta: 10_000}, dim, 0, ids.length);
      const [q, k, v] = [project(wq, heads), project(wk, kvHeads), project(wv, kvHeads)];
      const gram = (y: tf.Tensor4D) => {
        const rows = tf.reshape(y, [kvHeads, -1, dim]); // the query heads of a group together
        return tf.matMul(rows, rows, true);
      };
      return {
        queries: gram(q),
        keys: gram(k),
        values: gram(v),
        rotatedKeys: gram(rotate(k, rotation)),
        rotatedQueries: gram(rotate(q, rotation)),
        valueSum: tf.sum(v, [0, 2]),
      };
    });
    const [first] = depths;
    for (const side of ['queries', 'keys', 'values', 'rotatedKeys', 'rotatedQueries'] as const) {
      await expectClose(Float64Array.from(first!.grams[side]!), await expected[side].data(), 1e-4, side);
    }
    await expectClose(Float64Array.from(first!.sums.values!), await expected.valueSum.data(), 1e-4);
    tf.dispose(expected);
  });

  it('adds up: two runs merged are one over both texts', async () => {
    const [a, b, both] = [await run([text]), await run([other]), await run([text, other])];
    const merged = mergeCalibrations([a, b]);
    expect(merged.tokens).to.equal(both.tokens);
    for (const [depth, {grams, sums}] of both.depths.entries()) {
      await expectClose(merged.depths[depth]!.grams.keys!, grams.keys!, 1e-12);
      await expectClose(merged.depths[depth]!.sums.rotatedKeys!, sums.rotatedKeys!, 1e-12);
    }
    expect(mergeCalibrations([a])).to.deep.equal(a);
  });

  it('does not depend on how many tokens go at a time', async () => {
    const [steps, once] = [await run([text], {chunk: 7}), await run([text], {chunk: 1000})];
    await expectClose(steps.depths[1]!.grams.values!, once.depths[1]!.grams.values!, 1e-4);
  });

  it('cuts texts to windows and takes only the tokens asked for', async () => {
    const windows = await run([text], {window: 30, tokens: 50});
    const ids = characterTokenizer.encode(text);
    const apart = await calibrate({model}, [ids.slice(0, 30), ids.slice(30, 50)]);
    expect(windows).to.deep.equal(apart);
  });

  it('is saved and read again, and continues', async () => {
    const path = join(folder, 'a.safetensors');
    const calibration = await run([text]);
    await saveCalibration(calibration, path);
    const again = await loadCalibration(path);
    expect(again).to.deep.include({fingerprint: calibration.fingerprint, tokens: calibration.tokens});
    await expectClose(again.depths[1]!.grams.queries!, calibration.depths[1]!.grams.queries!, 1e-6);
    expect(mergeCalibrations([again, await run([other])]).tokens).to.be.above(again.tokens);
  });

  it('of gradients: adds up, is saved and read again', async () => {
    const options = {gradientTokens: 60};
    const [a, b] = [await run([text], options), await run([other], {gradientTokens: 20})];
    expect([a.gradients!.tokens, b.gradients!.tokens]).to.deep.equal([60, 20]);
    const merged = mergeCalibrations([a, b, await run([text])]);
    expect(merged.gradients!.tokens).to.equal(80);
    const valuesOf = ({gradients}: Calibration) => gradients!.depths[1]!.grams.values!;
    await expectClose(
      valuesOf(merged),
      valuesOf(a).map((x, i) => x + valuesOf(b)[i]!),
      1e-12,
    );
    const path = join(folder, 'gradients.safetensors');
    await saveCalibration(merged, path);
    const again = await loadCalibration(path);
    expect(again.gradients!.tokens).to.equal(80);
    for (const side of ['keys', 'values', 'rotatedKeys'] as const) {
      const [read, written] = [again, merged].map(({gradients}) => gradients!.depths[0]!.grams[side]!);
      await expectClose(read!, written!, 1e-6, side);
    }
    expect(await run([text], options), 'the same tokens are drawn each time').to.deep.equal(a);
  });

  it('knows its model', async () => {
    const stranger = tinyModel(2);
    const [a, same, b] = [
      await run([text]),
      await run([other]),
      await calibrate({model: stranger, tokenizer: characterTokenizer}, [text]),
    ];
    expect(same.fingerprint)
      .to.equal(a.fingerprint)
      .and.match(/^[0-9a-f]{16}$/);
    expect(b.fingerprint).not.to.equal(a.fingerprint);
    expect(() => mergeCalibrations([a, b])).to.throw(InvalidArgumentError, /only those of the same weights/);
    expect(() => mergeCalibrations([])).to.throw(InvalidArgumentError, /no calibration/);
    stranger.dispose();
  });

  it('refuses files that are something else, damaged, or of a newer version', async () => {
    const json = join(folder, 'package.json');
    await writeFile(json, '{"name": "other"}');
    await rejection(loadCalibration(json), FormatError, /package\.json is not a calibration; make one/);
    const write = async (name: string, metadata: Record<string, string>, calibration?: Calibration) => {
      const path = join(folder, name);
      const tensors = calibration
        ? [{name: 'depth.0.keys', dtype: 'F32' as const, shape: [1, 1, 1], data: () => Float32Array.of(NaN)}]
        : [];
      await writeFile(path, await writeSafetensors(tensors, {metadata}));
      return path;
    };
    const ours = {kind: 'eigenkv calibration', version: '1', fingerprint: 'f', tokens: '5', depths: '1'};
    const cases: [Promise<string>, RegExp][] = [
      [write('other.safetensors', {}), /is not a calibration/],
      [write('newer.safetensors', {...ours, version: '2'}), /version 2; this eigenkv reads version 1/],
      [write('counts.safetensors', {...ours, tokens: 'many'}), /of many tokens/],
      [write('missing.safetensors', ours), /"depth.0.queries" is missing/],
      [write('nan.safetensors', ours, await run([text])), /"depth.0.keys" is missing or damaged/],
    ];
    for (const [path, message] of cases) await rejection(loadCalibration(await path), FormatError, message);
    await rejection(loadCalibration(join(folder, 'none')), InvalidArgumentError, /none/);
  });

  it('refuses texts and options that are none, and numbers that are none', async () => {
    await rejection(run([]), InvalidArgumentError, /no texts/);
    await rejection(calibrate({model}, ['text']), InvalidArgumentError, /tokenizer/);
    await rejection(run([text], {chunk: 0}), InvalidArgumentError, /chunk = 0/);
    await rejection(run([text], {chunks: 2}), InvalidArgumentError, /chunks/);
    const broken = tinyModel();
    tf.tidy(() =>
      broken.setWeights(broken.getWeights().map((w, i) => (i === 2 ? tf.fill(w.shape, NaN) : w))),
    );
    await rejection(calibrate({model: broken}, [[3, 4, 5]]), Error, /NaN/);
    broken.dispose();
  });

  it('tells its progress, ends where it is told to, and leaves nothing behind', async () => {
    const seen: number[] = [];
    await run([text], {chunk: 30, onProgress: ({done}: {done: number}) => seen.push(done)});
    expect(seen).to.deep.equal([30, 60, characterTokenizer.encode(text).length]);
    const aborted = new AbortController();
    await expectNoLeak(async () => {
      await run([text]);
      const stops = run([text], {chunk: 10, signal: aborted.signal, onProgress: () => aborted.abort()});
      await rejection(stops, Error, /abort/i);
    });
  });
});
