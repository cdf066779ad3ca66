import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {setProfileOfModel} from '../../../cache/codecs/transform_profile/of_model.js';
import {meanSquaredErrorOf} from '../../../ops/encodings/lloyd_max_levels.js';
import type {SideTransform} from '../../../cache/codecs/transform_profile/profile.js';
import {KVCache, calibrationDrift, quantized, transform, uniformShapes} from '../../../cache/index.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import {embeddedText, loadModel} from '../../../models/index.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {textIds} from '../../../src/evaluate/index.js';
import {describeOnBackends} from '../../support/backends.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {seededRandom} from '../../../base/random.js';
import {expectNoLeak} from '../../support/tensors.js';
import {randomProfile} from '../../support/transform_profile.js';

const profile = randomProfile({depths: 2, kvHeads: 2, dim: 16});
const deviation = 0.3; // of log2 of the profile's token scales

/** Tokens as the profile was calibrated: `mean + s z B`. */
function calibrated(
  {kvHeads, dim, mean, synthesis}: SideTransform,
  tokens: number,
  seed: number,
): tf.Tensor4D {
  const scales = tf.exp(
    tf.randomNormal([1, kvHeads, tokens, 1], 0, deviation * Math.LN2, 'float32', seed + 0.5),
  );
  const channels = tf.mul(tf.randomNormal([1, kvHeads, tokens, dim], 0, 1, 'float32', seed), scales);
  const rows = tf.matMul<tf.Tensor4D>(channels, tf.tensor4d(synthesis, [1, kvHeads, dim, dim]));
  return tf.add(rows, tf.tensor4d(mean, [1, kvHeads, 1, dim]));
}

function cacheOf(
  tokens: number,
  change: {keys?: number; depth?: number} = {},
  plan = transform({bits: 3}),
): KVCache {
  const shapes = uniformShapes({depths: 2, heads: 2, headDim: 16});
  setProfileOfModel(shapes, profile);
  const cache = new KVCache(shapes, plan);
  for (const {depth} of shapes) {
    tf.tidy(() => {
      const {keys, values} = profile.depths[depth]!;
      const by = change.depth === undefined || change.depth === depth ? (change.keys ?? 1) : 1;
      const exact = calibrated(keys, tokens, 3 * depth + 1);
      const fresh = {keys: tf.mul<tf.Tensor4D>(exact, by), values: calibrated(values, tokens, 3 * depth + 2)};
      cache.attend(depth, {queries: exact, ...fresh});
    });
  }
  return cache;
}

describeOnBackends('the drift of a cache from its calibration', () => {
  it('is small for tokens as they were calibrated', async () => {
    const cache = cacheOf(404);
    const drift = (await calibrationDrift(cache))!;
    expect(drift.tokens).to.equal(400);
    expect(drift.keys).to.be.below(0.2);
    expect(drift.values).to.be.below(0.2);
    expect(drift.drift).to.equal(drift.values / 0.4);
    expect(drift.scaleShift).to.be.below(0.5);
    expect(drift.saturated).to.be.within(0.5 * drift.expectedSaturated, 1.5 * drift.expectedSaturated);
    expect(drift.hasLeft).to.equal(false);
    cache.dispose();
  });

  it('is seen if keys are four times as large, and where', async () => {
    const cache = cacheOf(404, {keys: 4, depth: 1});
    const {heads, hasLeft, keys, values} = (await calibrationDrift(cache))!;
    expect(keys).to.be.above(1);
    expect(values).to.be.below(0.2);
    expect(hasLeft).to.equal(true);
    for (const {depth, side, scaleShift, drift} of heads) {
      const isLarger = depth === 1 && side === 'keys';
      // the mean of keys is subtracted as it was calibrated, so the rest may grow a bit more
      if (isLarger) expect(scaleShift * deviation, side).to.be.within(1.7, 3);
      else expect(Math.abs(scaleShift), `${side} ${depth}`).to.be.below(0.6);
      expect(drift > 2, `${side} ${depth}`).to.equal(isLarger);
    }
    cache.dispose();
  });

  it('counts scales in steps of their rounding if those of the calibration did not vary', async () => {
    const shapes = uniformShapes({depths: 1, heads: 1, headDim: 8});
    const {depths, ...facts} = randomProfile({depths: 1, kvHeads: 1, dim: 8});
    const {keys, values} = depths[0]!;
    const scalesOf = (mean: number) => ({
      tokenScales: {mean: Float64Array.of(mean), deviation: new Float64Array(1)},
    });
    const constant = {
      ...facts,
      depths: [{keys: {...keys, ...scalesOf(0)}, values: {...values, ...scalesOf(-29.9)}}],
    };
    using cache = new KVCache(shapes, transform({bits: 3, profile: constant, sinks: 0}));
    tf.tidy(() => {
      const exact = tf.add<tf.Tensor4D>(
        tf.matMul(
          tf.mul(tf.sign(tf.randomNormal([1, 1, 64, 8], 0, 1, 'float32', 1)), 2),
          tf.tensor4d(keys.synthesis, [1, 1, 8, 8]),
        ),
        tf.tensor4d(keys.mean, [1, 1, 1, 8]),
      );
      cache.attend(0, {queries: exact, keys: exact, values: tf.zerosLike(exact)});
    });
    const {heads, scaleShift} = (await calibrationDrift(cache))!;
    const [ofKeys, ofValues] = heads;
    // all channels are +-2, so scales are about 2 = 2^1, 28 times the rounding's deviation of 1 / 8 / sqrt(12)
    expect(ofKeys!.scaleShift).to.be.within(26, 32);
    expect(ofValues!.scaleShift).to.equal(0); // zeros, as in the calibration
    expect(scaleShift).to.be.closeTo(ofKeys!.scaleShift / Math.SQRT2, 1e-9);
  });

  it('is that of the decoded channels', async () => {
    const cache = cacheOf(148, {keys: 1.5});
    const {heads} = (await calibrationDrift(cache))!;
    for (const {depth, side, head, drift} of heads) {
      const stored = cache.past(depth)!.held['stored']!;
      const encoding = stored[side];
      if (encoding.kind !== 'lowRank' || encoding.latents.kind !== 'lloydMax')
        throw new Error('not by a profile');
      const {latents} = encoding;
      const channels = tf.tidy(() => decodeEncoding(latents, 0, stored.tokens).arraySync()[0]![head]!);
      let [squares, weight] = [0, 0];
      for (const width of new Set(latents.widths[head]!.filter(bits => bits > 0))) {
        const numbers = channels.flatMap(token =>
          token.filter((_, i) => latents.widths[head]![i >> 3] === width),
        );
        const energy = numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length;
        squares += numbers.length * Math.log2(energy / (1 - meanSquaredErrorOf(width))) ** 2;
        weight += numbers.length;
      }
      expect(drift, `${side} ${depth} ${head}`).to.be.closeTo(Math.sqrt(squares / weight), 1e-5);
    }
    cache.dispose();
  });

  it('says nothing of few tokens, other codecs and empty caches', async () => {
    const few = cacheOf(30, {keys: 4});
    expect((await calibrationDrift(few))!.hasLeft).to.equal(false);
    few.dispose();
    const codes = cacheOf(100, {}, quantized());
    expect(await calibrationDrift(codes)).to.equal(undefined);
    codes.dispose();
    const empty = new KVCache(uniformShapes({depths: 1, heads: 1, headDim: 16}), transform());
    expect(await calibrationDrift(empty)).to.equal(undefined);
    empty.dispose();
  });

  it('is that of the moment of the call, whatever becomes of the cache', async () => {
    const cache = cacheOf(100);
    const expected = await calibrationDrift(cache);
    const pending = calibrationDrift(cache);
    cache.dispose();
    expect(await pending).to.deep.equal(expected);
  });

  it('leaks nothing', async () => {
    const cache = cacheOf(100);
    await expectNoLeak(() => calibrationDrift(cache));
    cache.dispose();
  });
});

describe('the drift of texts from the calibration of the bundled model', () => {
  let loaded: LoadedModel;
  before(async () => {
    await useBackend('wasm');
    loaded = await loadModel();
  });
  after(() => {
    loaded.dispose();
  });

  async function driftOf(ids: readonly number[]): Promise<{drift: number; hasLeft: boolean}> {
    const cache = new KVCache(loaded, transform({bits: 2.5}));
    for (let at = 0; at < ids.length; at += 64) {
      const some = ids.slice(at, at + 64);
      tf.tidy(() => void loaded.model.apply(tf.tensor2d([...some], [1, some.length], 'int32'), {cache}));
    }
    const drift = (await calibrationDrift(cache))!;
    cache.dispose();
    return drift;
  }

  it('is small for texts of its kind and of others, and large for random bytes', async () => {
    const held = await driftOf(textIds(loaded.tokenizer, await embeddedText('heldOut')).slice(0, 300));
    expect(held.drift).to.be.below(0.5);
    // a manual is not what the model was trained on, nor what it was calibrated on
    const manual =
      'A budget is the plan of the least loss within a number of bytes. With a profile of the model, bits are divided among channels, ' +
      'heads, sides and depths by one threshold. Without a profile all depths have the same integer codes. The first tokens stay exact, ' +
      'and so do those that wait for a tile to fill. Short texts therefore take more bytes per token than long ones do. Measure first; ' +
      'models differ. On a thousand tokens, perplexity changes by tenths of a percent by chance, and the divergence from the full cache ' +
      'ranks policies on far fewer tokens. Compare policies at equal bytes, and take steps as short as those of your use.';
    const other = await driftOf(textIds(loaded.tokenizer, manual));
    expect(other.hasLeft, `${other.drift}`).to.equal(false);
    const random = seededRandom(1);
    const bytes = Array.from({length: 900}, () => String.fromCharCode(32 + Math.floor(random() * 224))).join(
      '',
    );
    const noise = await driftOf(textIds(loaded.tokenizer, bytes).slice(0, 300));
    expect(noise.hasLeft, `${noise.drift}`).to.equal(true);
  });
});
