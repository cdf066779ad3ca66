import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {mkdtemp, readFile, readdir, rm, stat, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {FormatError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {
  type TensorToWrite,
  writeSafetensors,
  writeSafetensorsFile,
} from '../../../base/files/write_safetensors.js';
import {
  type SideTransform,
  type TransformProfile,
  widthsFor,
} from '../../../cache/codecs/transform_profile/index.js';
import {KVCache, transform} from '../../../cache/index.js';
import {
  type Calibration,
  buildModel,
  calibrate,
  loadCalibration,
  loadModel,
  loadTransformProfile,
  mergeCalibrations,
  profileFor,
  saveCalibration,
  saveTransformProfile,
  transformProfile,
  useProfile,
} from '../../../models/index.js';
import {checksumOf} from '../../../models/compress/transform/checksum.js';
import {keyMoments, partOf} from '../../../models/compress/transform/statistics.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {multiply64, transpose64} from '../../../ops/linalg/matrix64.js';
import {rejection} from '../../base/files/rejection.js';
import {expectNoLeak} from '../../support/tensors.js';
import {tinyModel} from '../../support/tiny_model.js';

const packaged = fileURLToPath(new URL('../../../profiles', import.meta.url));
const [kvHeads, dim] = [2, 8]; // of the tiny model
const idsFrom = (seed: number) => Array.from({length: 400}, (_, i) => (i * 31 + i * i * seed) % 97);

describe('profiles of transforms', () => {
  let model: tf.LayersModel;
  let calibration: Calibration;
  let other: Calibration;
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel();
    calibration = await calibrate({model}, [idsFrom(3)], {window: 200, gradientTokens: 400});
    other = await calibrate({model}, [idsFrom(5)], {window: 200, gradientTokens: 200});
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-profile-'));
  });
  after(async () => {
    model.dispose();
    await rm(folder, {recursive: true});
  });

  const headOf = (of: Float32Array, head: number) => of.slice(head * dim * dim, (head + 1) * dim * dim);
  const identity = Array.from({length: dim * dim}, (_, at) => (at % (dim + 1) === 0 ? 1 : 0));
  const expectIdentity = (of: ArrayLike<number>, tolerance: number) =>
    identity.forEach((one, at) => expect(of[at]).to.be.closeTo(one, tolerance));

  it('have uncorrelated channels, as the calibration saw the tokens', () => {
    const profile = transformProfile(calibration, {texts: ['random']});
    expect(profile).to.deep.include({fingerprint: calibration.fingerprint, tokens: 392, texts: ['random']});
    // of each window of 200, steps of 64: without sinks, up to the last step
    expect(profile.gradientTokens).to.equal(2 * (192 - 4));
    profile.depths.forEach(({keys, values}, depth) => {
      for (let head = 0; head < kvHeads; head++) {
        const {transform} = calibration;
        const {covariance, mean, rotatedMean} = keyMoments(transform!.depths[depth]!, transform!.rope, head);
        const a = headOf(keys.analysis, head);
        const inside = multiply64(
          transpose64(a, dim, dim),
          multiply64(covariance, a, dim, dim, dim),
          dim,
          dim,
          dim,
        );
        expectIdentity(inside, 1e-4);
        for (const side of [keys, values]) {
          expectIdentity(
            multiply64(headOf(side.analysis, head), headOf(side.synthesis, head), dim, dim, dim),
            1e-4,
          );
          const weights = [...side.weights.slice(head * dim, (head + 1) * dim)];
          expect(weights).to.deep.equal(weights.toSorted((x, y) => y - x));
          expect(weights.at(-1)).to.be.above(0);
        }
        expect([...partOf(Float64Array.from(keys.mean), head, kvHeads)]).to.deep.equal([
          ...Float32Array.from(mean),
        ]);
        expect([...partOf(Float64Array.from(keys.rotatedMean!), head, kvHeads)]).to.deep.equal([
          ...Float32Array.from(rotatedMean!),
        ]);
      }
      expect(Math.max(...values.mean.map(Math.abs))).to.equal(0);
      expect(values.rotatedMean).to.equal(undefined);
      for (const {tokenScales} of [keys, values]) {
        // the mean square of a channel is 1, so the mean of the logarithm is a little below 0
        tokenScales.mean.forEach(x => expect(x).to.be.within(-0.5, 0));
        tokenScales.deviation.forEach(x => expect(x).to.be.within(0.02, 1));
      }
    });
  });

  it('predict less divergence for more bits', () => {
    const profile = transformProfile(calibration);
    const costs = [1, 2, 3, 4, 6].map(bits => widthsFor(profile, {bits}).predictedKl);
    expect(costs).to.deep.equal(costs.toSorted((a, b) => b - a));
    expect(costs.at(-1)).to.be.above(0);
  });

  it('are those of merged calibrations, also read from files', async () => {
    const merged = mergeCalibrations([calibration, other]);
    const path = join(folder, 'calibration.safetensors');
    await saveCalibration(merged, path);
    const again = await loadCalibration(path);
    expect(again.transform).to.deep.include({
      tokens: calibration.transform!.tokens + other.transform!.tokens,
      gradientTokens: calibration.transform!.gradientTokens + other.transform!.gradientTokens,
      rope: {theta: 10_000},
    });
    const [a, b] = [transformProfile(merged), transformProfile(again)];
    a.depths.forEach(({keys, values}, depth) => {
      for (const [of, read] of [
        [keys, b.depths[depth]!.keys],
        [values, b.depths[depth]!.values],
      ] as const) {
        of.weights.forEach((weight, i) =>
          expect(read.weights[i]).to.be.closeTo(weight, 1e-4 * of.weights[0]!),
        );
      }
    });
  });

  it('need a calibration with gradients, of enough tokens', async () => {
    const {transform, ...old} = calibration;
    expect(() => transformProfile(old)).to.throw(InvalidArgumentError, /calibrate again with gradientTokens/);
    const few = {...transform!, gradientTokens: 7};
    expect(() => transformProfile({...old, transform: few})).to.throw(
      InvalidArgumentError,
      /of 7 tokens.*at least 8/,
    );
    for (const shrink of [0, -1, 2, NaN]) {
      expect(() => transformProfile(calibration, {keyShrink: shrink})).to.throw(
        InvalidArgumentError,
        /keyShrink/,
      );
    }
    const short = await calibrate({model}, [[3, 4, 5]], {gradientTokens: 400});
    expect(() => transformProfile(short)).to.throw(InvalidArgumentError, /more than 4 tokens/);
    const shortPath = join(folder, 'short.safetensors');
    await saveCalibration(short, shortPath);
    expect(await loadCalibration(shortPath)).to.include({tokens: 3});
    // and files from before there were transforms are read
    const path = join(folder, 'old.safetensors');
    await saveCalibration(old, path);
    expect(await loadCalibration(path)).not.to.have.property('transform');
  });

  it('refuse numbers that are none, and say where', () => {
    const {transform, ...rest} = calibration;
    const [first, second] = transform!.depths;
    for (const name of ['keyGrams', 'valueMetrics'] as const) {
      const sums = {...second!.sums, [name]: second!.sums[name].map((x, i) => (i === 5 ? NaN : x))};
      const spoiled = {...rest, transform: {...transform!, depths: [first!, {...second!, sums}]}};
      expect(() => transformProfile(spoiled)).to.throw(
        InvalidArgumentError,
        new RegExp(`NaN or infinity at depth 1, in ${name}`),
      );
    }
  });

  it('exist for a model with a head whose keys and values never vary', async () => {
    const flat = tinyModel();
    tf.tidy(() => {
      const zeroed = flat.getWeights().map((weight, i) => {
        const {name} = flat.weights[i]!;
        if (!/(?:key|value)/.test(name)) return weight;
        const keep = tf.concat([tf.zeros([weight.shape[0], dim]), tf.ones([weight.shape[0], dim])], 1);
        return tf.mul(weight, keep);
      });
      flat.setWeights(zeroed);
    });
    const made = transformProfile(
      await calibrate({model: flat}, [idsFrom(3)], {window: 200, gradientTokens: 400}),
    );
    for (const {keys, values} of made.depths) {
      for (const side of [keys, values]) {
        expect([...side.weights.slice(0, dim)]).to.deep.equal(Array(dim).fill(0));
        expect(side.weights[dim]).to.be.above(0);
      }
    }
    const cache = new KVCache(flat, transform({bits: 4, profile: made}));
    const logits = tf.tidy(() =>
      [idsFrom(5).slice(0, 60), idsFrom(5).slice(60, 90)].map(
        ids => flat.apply(tf.tensor2d(ids, [1, ids.length], 'int32'), {cache}) as tf.Tensor,
      ),
    );
    expect(cache.past(0)!.held['stored']!.tokens).to.equal(80);
    for (const part of logits) expect([...(await part.data())].every(Number.isFinite)).to.equal(true);
    tf.dispose(logits);
    cache.dispose();
    flat.dispose();
  });

  it('are not made from one token that is repeated', async () => {
    const constant = Array<number>(400).fill(7);
    const repeated = await calibrate({model}, [constant], {window: 200, gradientTokens: 400});
    expect(() => transformProfile(repeated)).to.throw(
      InvalidArgumentError,
      /same values for all of its tokens.*calibrate on texts/,
    );
    transformProfile(mergeCalibrations([repeated, calibration])); // but a part of it may be so
  });

  it('are used for the model that they are of, and refused for any other', async () => {
    const profile = transformProfile(calibration);
    const twin = tinyModel(2); // of the same sizes
    await rejection(
      useProfile({model: twin}, profile),
      ModelError,
      /of another model: .*Make one of this model/,
    );
    await rejection(useProfile(twin, profile), ModelError, /another model/);
    expect(() => new KVCache(twin, transform({profile}))).to.throw(ModelError, /another model: .*Make one/);
    using empty = new KVCache(twin);
    await rejection(empty.setPlan(transform({profile})), ModelError, /another model/);
    new KVCache(model, transform({profile})).dispose();
    const none = {...profile, depths: []};
    await rejection(useProfile(model, none), InvalidArgumentError, /depths = \[\]/);
    await rejection(saveTransformProfile(none, join(folder, 'never')), InvalidArgumentError, /depths = \[\]/);
    await useProfile({model}, profile);
    const ids = tf.tensor2d(idsFrom(7).slice(0, 40), [1, 40], 'int32');
    const tablesOf = (of: tf.LayersModel) => {
      using cache = new KVCache(of, 'transform');
      tf.dispose(of.apply(ids, {cache}) as tf.Tensor);
      return cache.modelBytes;
    };
    expect(tablesOf(model)).to.be.above(0);
    expect(tablesOf(twin)).to.equal(0); // it stores by the directions of the text itself
    ids.dispose();
    twin.dispose();
  });

  it('leave memory with the last of their models', async () => {
    const before = tf.memory().numTensors;
    const [one, other] = [await loadModel(), await loadModel()];
    const profile = {...(await profileFor(one.model))!};
    const run = (of: typeof one, cache: KVCache) => {
      tf.tidy(() => void of.model.apply(tf.ones([1, 40], 'int32'), {cache}));
    };
    for (const of of [one, other]) {
      using former = new KVCache(of, 'transform'); // by the packaged one
      run(of, former);
      await useProfile(of, profile);
      run(of, former);
    }
    using cache = new KVCache(one, 'transform');
    run(one, cache);
    other.dispose();
    run(one, cache);
    cache.dispose();
    one.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('are saved in 8 bits and read again', async () => {
    const profile = transformProfile(calibration, {texts: ['a', 'b']});
    const path = join(folder, 'profile.safetensors');
    await saveTransformProfile(profile, path);
    const again = await loadTransformProfile(path);
    const {depths, ...facts} = profile;
    expect(again).to.deep.include(facts);
    depths.forEach((depth, index) => {
      for (const side of ['keys', 'values'] as const) expectRounded(again.depths[index]![side], depth[side]);
    });
  });

  function expectRounded(read: SideTransform, written: SideTransform): void {
    for (const name of ['mean', 'rotatedMean'] as const) expect(read[name]).to.deep.equal(written[name]);
    expect(read.tokenScales.mean[0]).to.be.closeTo(written.tokenScales.mean[0]!, 1e-6);
    written.weights.forEach((weight, i) => expect(read.weights[i]).to.be.closeTo(weight, 1e-6 * weight));
    for (let row = 0; row < kvHeads * dim; row++) {
      const [a, b] = [read, written].map(({synthesis}) => synthesis.slice(row * dim, (row + 1) * dim));
      const step = Math.max(...b!.map(Math.abs)) / 127;
      a!.forEach((x, i) => expect(Math.abs(x - b![i]!)).to.be.at.most(0.501 * step));
    }
    for (let head = 0; head < kvHeads; head++) {
      const product = multiply64(headOf(read.analysis, head), headOf(read.synthesis, head), dim, dim, dim);
      expectIdentity(product, 1e-5);
    }
  }

  it('are refused if the file is something else, damaged, or of a newer version', async () => {
    const path = join(folder, 'good.safetensors');
    await saveTransformProfile(transformProfile(calibration), path);
    const bytes = await readFile(path);
    const changed = async (from: string, to: string) => {
      const text = bytes.toString('latin1').replace(from, to);
      expect(text).not.to.equal(bytes.toString('latin1'));
      const name = join(folder, `changed_${from.length}_${to.length}.safetensors`);
      await writeFile(name, Buffer.from(text, 'latin1'));
      return loadTransformProfile(name);
    };
    await rejection(
      changed('eigenkv transform profile', 'eigenkv calibration xxxxx'),
      FormatError,
      /is not a profile/,
    );
    await rejection(
      changed('"version":"2"', '"version":"3"'),
      FormatError,
      /version 3; this eigenkv reads version 2/,
    );
    await rejection(
      changed('"tokens":"392"', '"tokens":"-92"'),
      FormatError,
      /counts or texts that cannot be/,
    );
    await rejection(changed('{\\"theta\\":10000}', '{\\"thxta\\":10000}'), FormatError, /rotary/);
    await rejection(changed('"checksum":"', '"checkxum":"'), FormatError, /do not have the checksum {2}that/);
    await rejection(changed('"0.keys.weights"', '"0.keys.wxights"'), FormatError, /is damaged: its tensors/);
    for (const at of [bytes.length - 1, 8 + Number(bytes.readBigUInt64LE(0))]) {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1;
      const damaged = join(folder, `flipped_${at}.safetensors`);
      await writeFile(damaged, flipped);
      await rejection(loadTransformProfile(damaged), FormatError, /flipped_\d+\.safetensors is damaged/);
    }
    const empty = join(folder, 'other.safetensors');
    await writeFile(empty, await writeSafetensors([]));
    await rejection(loadTransformProfile(empty), FormatError, /is not a profile of transforms; make one/);
    await rejection(loadTransformProfile(join(folder, 'none')), InvalidArgumentError, /none/);
  });

  it('are refused if a file has the checksum of what it holds, but lacks tensors or inverses', async () => {
    const path = join(folder, 'whole.safetensors');
    await saveTransformProfile(transformProfile(calibration), path);
    const file = await openTensorPath(path);
    const tensors = await Promise.all(
      [...file.tensors.values()].map(async ({name, shape}): Promise<TensorToWrite> => {
        const numbers = await file.readFloat32(name);
        return name.endsWith('codes')
          ? {name, shape, dtype: 'U8', data: () => Uint8Array.from(numbers)}
          : {name, shape, dtype: 'F32', data: () => numbers};
      }),
    );
    const metadata = Object.fromEntries([...file.metadata].map(([key, value]) => [key, String(value)]));
    await file.close();
    const written = async (changed: readonly TensorToWrite[]) => {
      const name = join(folder, 'rewritten.safetensors');
      await writeSafetensorsFile(name, changed, {
        metadata: {...metadata, checksum: await checksumOf(changed)},
      });
      return loadTransformProfile(name);
    };
    expect((await written(tensors)).fingerprint).to.equal(calibration.fingerprint);
    await rejection(
      written(tensors.filter(({name}) => name !== '0.keys.weights')),
      FormatError,
      /"0.keys.weights" is missing or damaged/,
    );
    const zeros = tensors.map((tensor): TensorToWrite => {
      if (tensor.name !== '1.values.codes' || tensor.dtype !== 'U8') return tensor;
      return {...tensor, data: () => new Uint8Array(kvHeads * dim * dim).fill(128)}; // all of them 0
    });
    await rejection(written(zeros), FormatError, /"1.values.codes" is missing or damaged/);
  });

  it('of a model without rotary positions have a plain mean', async () => {
    const gpt2 = buildModel({
      architecture: 'gpt2',
      ...{
        vocabSize: 97,
        contextLength: 256,
        depths: 2,
        dim: 32,
        heads: 2,
        kvHeads: 2,
        headDim: 16,
        hiddenDim: 64,
      },
      activation: 'gelu',
      normEpsilon: 1e-5,
      biases: {queryKeyValue: true, attentionOutput: true, feedForward: true},
      tiedEmbeddings: true,
    });
    const made = transformProfile(await calibrate(gpt2, [idsFrom(3)], {window: 200, gradientTokens: 400}));
    gpt2.dispose();
    expect(made).not.to.have.property('rope');
    const path = join(folder, 'gpt2.safetensors');
    await saveTransformProfile(made, path);
    for (const {depths} of [made, await loadTransformProfile(path)]) {
      for (const {keys} of depths) {
        expect(keys).not.to.have.property('rotatedMean');
        expect(Math.max(...keys.mean.map(Math.abs))).to.be.above(1e-3);
      }
    }
  });

  it('leave nothing behind', async () => {
    await expectNoLeak(() => calibrate({model}, [idsFrom(7)], {gradientTokens: 150}).then(() => undefined));
  });

  describe('that come with the package', () => {
    it('belong to the embedded model, and to no other model of its shape', async () => {
      using loaded = await loadModel();
      const profile = await profileFor(loaded);
      expect(profile!.depths.map(({keys}) => [keys.kvHeads, keys.dim])).to.deep.equal(Array(9).fill([2, 64]));
      expect(await profileFor({model})).to.equal(undefined);
    });

    it('are each under 1 MB, whole, and made from more than 4,000 tokens', async () => {
      const files = (await readdir(packaged)).filter(file => file.endsWith('.safetensors'));
      expect(files).to.have.length(2);
      for (const file of files) {
        const path = join(packaged, file);
        expect((await stat(path)).size).to.be.below(1e6);
        const profile: TransformProfile = await loadTransformProfile(path);
        expect(Math.min(profile.tokens, profile.gradientTokens)).to.be.above(4000);
        expect(widthsFor(profile, {bits: 2.5}).predictedKl).to.be.within(1e-4, 0.1);
      }
    });
  });
});
