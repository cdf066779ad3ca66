import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {registerProfile} from '../../../cache/codecs/transform_profile/of_model.js';
import {transformSides} from '../../../cache/codecs/transform_profile/profile.js';
import {
  divergencesByAge,
  nearTokens,
  widthsByAge,
} from '../../../cache/codecs/transform_profile/widths_by_age.js';
import {predictedDivergences} from '../../../cache/codecs/transform_profile/widths.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {KVCache, compressPrompt, transform, uniformShapes} from '../../../cache/index.js';
import {bytesPerToken} from '../../../cache/keepers/budget.js';
import {tokensHeld} from '../../../cache/past/past.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {randomProfile} from '../../support/transform_profile.js';

function take(cache: KVCache, x: tf.Tensor4D, from: number, count: number): void {
  tf.tidy(() => {
    const fresh = tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
    cache.attend(0, {queries: fresh, keys: fresh, values: fresh});
  });
}

describe('more bits for the newest tokens', () => {
  const profile = randomProfile({depths: 3, kvHeads: 2, dim: 64});
  before(() => useBackend('wasm'));

  it('leave channels that are mixed with one another together', () => {
    for (const bits of [0.5, 1.5, 2.3, 4, 6]) {
      const {far, near} = widthsByAge(profile, bits, {near: 64, extraBits: 2});
      expect(near.bits).to.be.within(bits + 1.8, bits + 2);
      expect(near.predictedKl).to.be.below(0.3 * far.predictedKl);
      for (const [depth, widths] of far.depths.entries()) {
        for (const side of transformSides) {
          for (const [head, ofHead] of widths[side].entries()) {
            const nearOf = new Map<number, Set<number>>();
            ofHead.forEach((width, group) => {
              nearOf.set(
                width,
                (nearOf.get(width) ?? new Set()).add(near.depths[depth]![side][head]![group]!),
              );
            });
            for (const [width, others] of nearOf) if (width > 0) expect(others.size).to.equal(1);
          }
        }
      }
    }
  });

  it('are whole tiles, at most 8 bits together, and at most half of what a keeper lets stay', () => {
    expect([0, 15, 16, 300].map(tokens => nearTokens(100, tokens))).to.deep.equal([0, 0, 16, 96]);
    expect(nearTokens(100, 300, 64)).to.equal(32);
    expect(nearTokens(100, 40, 1000)).to.equal(16);
    expect(widthsByAge(profile, 7, {near: 64, extraBits: 2}).near.bits).to.equal(8);
  });

  it('are predicted by the part of the loss that tokens of that age cause', () => {
    const {far, near} = widthsByAge(profile, 2.5, {near: 64, extraBits: 2});
    const [old, newest] = [far, near].map(({depths}) => predictedDivergences(profile, depths)[1]!.keys);
    const farPart = (nearest: number, tokens?: number) => {
      const {keys} = divergencesByAge(profile, 2.5, {near: nearest, extraBits: 2}, tokens)[1]!;
      return (keys - newest!) / (old! - newest!);
    };
    expect(farPart(0, 100)).to.equal(1);
    expect(farPart(64, 64)).to.be.closeTo(0, 1e-9); // a text without old tokens
    expect(farPart(64)).to.be.closeTo((1 + 64 / 60) ** -0.34, 1e-9);
    // measured on SmolLM2 with texts of 4,096 and 1,024 tokens
    const measured = [
      [32, 0.77, 0.7],
      [64, 0.65, 0.56],
      [128, 0.5, 0.39],
      [256, 0.34, 0.23],
      [512, 0.2, 0.08],
    ] as const;
    for (const [nearest, long, short] of measured) {
      expect(farPart(nearest, 4096)).to.be.closeTo(long, 0.01);
      expect(farPart(nearest, 1024)).to.be.closeTo(short, 0.08);
    }
  });

  it('go to the newest tokens of a cache, whatever its steps', () => {
    const id = registerProfile(randomProfile({depths: 1, kvHeads: 2, dim: 64}));
    const shapes = uniformShapes({depths: 1, heads: 2, kvHeads: 2, headDim: 64});
    const [tokens, sinks, near] = [250, 4, 64];
    const text: tf.Tensor4D = tf.randomNormal([1, 2, tokens, 64], 0, 1, 'float32', 5);
    for (const steps of [[tokens], [100, 100, 50], Array.from({length: tokens}, () => 1)]) {
      const cache = new KVCache(shapes, transform({bits: 2, near, sinks, profile: id}));
      let from = 0;
      for (const count of steps) {
        tf.tidy(() => {
          const fresh = tf.slice(text, [0, 0, from, 0], [-1, -1, count, -1]);
          cache.attend(0, {queries: fresh, keys: fresh, values: fresh});
        });
        from += count;
      }
      const {held, recent} = cache.past(0)!;
      expect(held['finest']!.tokens).to.equal(near);
      expect(held['finest']!.positions).to.equal(tokens - recent.tokens - near);
      expect(held['stored']!.tokens).to.equal(tokens - recent.tokens - near - sinks);
      expect(held['stored']!.positions).to.equal(sinks);
      cache.dispose();
    }
    text.dispose();
  });

  it('stay within a budget in bytes, and leave when a prompt is cut', async () => {
    const id = registerProfile(randomProfile({depths: 1, kvHeads: 2, dim: 16}));
    const shapes = uniformShapes({depths: 1, heads: 2, kvHeads: 2, headDim: 16});
    const x: tf.Tensor4D = tf.randomNormal([1, 2, 600, 16], 0, 1, 'float32', 5);
    const coding = {bits: 2, near: 512, profile: id};
    const bytes = {
      'of the newest': transform({...coding, keep: {name: 'window', options: {budget: '4kB'}}}),
      'of what was read most': transform({...coding, keep: {name: 'heaviest', options: {budget: '4kB'}}}),
    };
    for (const [name, plan] of Object.entries(bytes)) {
      using cache = new KVCache(shapes, plan);
      for (const [from, count] of [
        [0, 560] as const,
        ...Array.from({length: 40}, (_, i) => [560 + i, 1] as const),
      ]) {
        take(cache, x, from, count);
        const {stored, finest: near} = cache.past(0)!.held;
        const taken = [stored, near].map(of => {
          if (of === undefined) return 0;
          const {perToken} = bytesPerToken(of, {scored: plan.keep.observes !== undefined, biased: false});
          return perToken * of.tokens;
        });
        expect(taken[0]! + taken[1]!, name).to.be.at.most(4000);
        expect(taken[1], name).to.be.at.most(2000);
        expect(near?.tokens, name).to.be.at.least(16);
      }
    }
    for (const over of ['depth', 'model'] as const) {
      using cache = new KVCache(shapes, transform(coding));
      take(cache, x, 0, 400);
      const [cut] = await compressPrompt(cache, 'keyDiff', 0.25, {over});
      expect(cut!.keptTokens).to.be.within(100 - 32, 100);
      take(cache, x, 400, 40);
      expect(tokensHeld(cache.past(0)!)).to.equal(cut!.keptTokens + 40);
    }
    x.dispose();
  });

  it('are refused if they are no whole number, or more than 8', () => {
    expect(() => transform({near: 1.5})).to.throw(
      InvalidArgumentError,
      /near = 1.5; expected a whole number/,
    );
    expect(() => transform({extraBits: 9})).to.throw(
      InvalidArgumentError,
      /extraBits = 9; expected a number from 0 to 8/,
    );
  });
});
