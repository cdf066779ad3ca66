import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../base/errors.js';
import {setProfileOfModel} from '../../cache/codecs/transform_profile/of_model.js';
import {sizesOf} from '../../cache/codecs/transform_profile/widths.js';
import {KVCache, type LayerShape, type PlanLike, asPlan, budget, uniformShapes} from '../../cache/index.js';
import {planLabel} from '../../src/evaluate/plan_label.js';
import {describeOnBackends} from '../support/backends.js';
import {randomProfile} from '../support/transform_profile.js';
import {throughJson} from './variants.js';

const sizes = {depths: 3, kvHeads: 2, headDim: 64};
const rope = {theta: 100};

const withoutProfile = () => uniformShapes({...sizes, heads: 4});
const profile = randomProfile({depths: 3, kvHeads: 2, dim: 64});
const rotatedProfile = randomProfile({depths: 3, kvHeads: 2, dim: 64, rope});
function withProfile(of = profile): LayerShape[] {
  const shapes = withoutProfile();
  setProfileOfModel(shapes, of);
  return shapes;
}

const policiesOf = (plan: PlanLike, shapes: LayerShape[]) =>
  shapes.map(({depth}) => asPlan(plan).policyFor(depth, shapes.length, shapes));
const namesOf = (plan: PlanLike, shapes: LayerShape[]) => policiesOf(plan, shapes).map(({name}) => name);

describe('budget', () => {
  it('fills a share of float32 with bits', () => {
    const shapes = withProfile();
    const {numbers, scales} = sizesOf(profile);
    for (const ratio of [0.03, 0.1, 0.2]) {
      const {options} = policiesOf(budget({ratio}), shapes)[0]!;
      const bytes = (Number(options['bits']) * numbers) / 8 + scales;
      expect(bytes, `${ratio}`).to.be.within(4 * numbers * ratio * 0.99, 4 * numbers * ratio);
      expect(policiesOf(budget({bytesPerToken: 4 * numbers * ratio}), shapes)[2]!.options).to.deep.equal(
        options,
      );
    }
  });

  it('counts the table by which attention rotates the mean of keys', () => {
    const bitsOf = (of: typeof profile) => Number(policiesOf('0.2x', withProfile(of))[0]!.options['bits']);
    const table = 8 * 32; // bytes per token: cosines and sines
    expect(bitsOf(profile) - bitsOf(rotatedProfile)).to.be.closeTo(
      (8 * table) / sizesOf(profile).numbers,
      0.02,
    );
  });

  it('takes integer codes if the table of positions leaves no room for others', () => {
    const tiny = uniformShapes({depths: 1, heads: 1, headDim: 8});
    setProfileOfModel(tiny, randomProfile({depths: 1, kvHeads: 1, dim: 8, rope}));
    // of the 64 bytes of float32 the table takes 32; integers take 12.5 if codes of 8 numbers are one word, 20.5 if two
    expect(policiesOf('0.33x', tiny)[0]!.options).to.include({keyBits: 8, valueBits: 8});
    expect(policiesOf('0.3x', tiny)[0]!.options).to.include({keyBits: 6, valueBits: 4});
    expect(policiesOf('0.2x', tiny)[0]!.options).to.include({keyBits: 4, valueBits: 2});
    expect(() => policiesOf('0.19x', tiny)).to.throw(InvalidArgumentError, /the least is 0\.196x/);
  });

  it('takes integer codes where there is room for 8 bits, and exact depths beyond', () => {
    const shapes = withProfile();
    expect(namesOf('0.26x', shapes)).to.deep.equal(['transform', 'transform', 'transform']);
    expect(policiesOf('0.26x', shapes)[0]!.options).to.include({bits: 8});
    expect(namesOf('0.27x', shapes)).to.deep.equal(['quantized', 'quantized', 'quantized']);
    const exact = (ratio: number) => namesOf(budget({ratio}), shapes).filter(name => name === 'full').length;
    expect([0.3, 0.52, 0.76, 0.99, 1].map(exact)).to.deep.equal([0, 1, 2, 2, 3]);
  });

  it('makes those depths exact whose errors cost most', () => {
    const shapes = withoutProfile();
    const dearest = (depth: number) => {
      const depths = profile.depths.map((of, at) => ({
        ...of,
        keys: {...of.keys, weights: of.keys.weights.map(weight => weight * (at === depth ? 1000 : 1))},
      }));
      setProfileOfModel(shapes, {...profile, depths});
      return namesOf(budget({ratio: 0.6}), shapes).indexOf('full');
    };
    expect([0, 1, 2].map(dearest)).to.deep.equal([0, 1, 2]);
  });

  it('takes integer codes of equal bits without a profile', () => {
    const bitsOf = (plan: string) => {
      const {keyBits, valueBits, groupSize} = policiesOf(plan, withoutProfile())[1]!.options;
      return [keyBits, valueBits, groupSize];
    };
    expect(bitsOf('0.3x')).to.deep.equal([8, 8, 64]);
    expect(bitsOf('.2188x')).to.deep.equal([8, 5, 64]);
    expect(bitsOf('.2032x')).to.deep.equal([6, 6, 64]);
    expect(bitsOf('0.1x')).to.deep.equal([3, 2, 64]);
    expect(bitsOf('256B/token')).to.deep.equal([2, 2, 64]);
    expect(namesOf('1x', withoutProfile())).to.deep.equal(['full', 'full', 'full']);
  });

  it('counts the scales of small heads', () => {
    const shapes = uniformShapes({depths: 1, heads: 1, headDim: 16});
    // 4 words of codes, a scale per 64 tokens of each channel, and one per token for the values
    const {keyBits, valueBits} = policiesOf(budget({bytesPerToken: 16 + 1 + 16 + 4}), shapes)[0]!.options;
    expect([keyBits, valueBits]).to.deep.equal([8, 8]);
    expect(policiesOf(budget({bytesPerToken: 36}), shapes)[0]!.options['valueBits']).to.equal(6);
  });

  it('is text and JSON', () => {
    const texts: [string, object][] = [
      ['0.1x', {ratio: 0.1}],
      ['0.00001x', {ratio: 0.00001}],
      ['4kB/token', {bytesPerToken: 4000}],
      ['4.5KiB/token', {bytesPerToken: 4608}],
      ['20MB:tokens=4096', {bytes: 20e6, tokens: 4096}],
      ['1.5B/token', {bytesPerToken: 1.5}],
    ];
    for (const [text, size] of texts) {
      const plan = asPlan(text);
      expect(plan.toJSON(), text).to.deep.equal({plan: 'budget', ...size});
      expect(asPlan(throughJson(plan.toJSON())).toJSON()).to.deep.equal(plan.toJSON());
      expect(asPlan(planLabel(plan)).toJSON(), planLabel(plan)).to.deep.equal(plan.toJSON());
    }
    expect(texts.map(([text]) => planLabel(text))).to.deep.equal([
      '0.1x',
      '0.00001x',
      '4kB/token',
      '4608B/token',
      '20MB:tokens=4096',
      '1.5B/token',
    ]);
  });

  it('follows the profile that a model has now', () => {
    const shapes = withoutProfile();
    const plan = budget({ratio: 0.1});
    expect(plan.policyFor(0, 3, shapes).name).to.equal('quantized');
    setProfileOfModel(shapes, profile);
    expect(plan.policyFor(0, 3, shapes).name).to.equal('transform');
  });

  it('refuses what cannot be, and says the nearest that can', () => {
    const wrong: [PlanLike, LayerShape[], RegExp][] = [
      [
        '0.01x',
        withoutProfile(),
        /budget of 0.01x of float32 is too small .* least is 0.079x without a profile/,
      ],
      ['0.01x', withProfile(), /is too small .* least is 0.019x\. Evict/],
      ['10B/token', withProfile(), /10 bytes per token is too small .* least is 57 bytes/],
      ['2x', withProfile(), /more than this model's cache takes; the most is 1x/],
      ['5kB/token', withoutProfile(), /the most is 3072 bytes/],
      ['100kB:tokens=4096', withProfile(), /100000 bytes at 4096 tokens is too small .* least is \d+ bytes/],
      ['1GB:tokens=4096', withoutProfile(), /the most is \d+ bytes/],
      // of a short text, exact tokens take less than codes, a buffer of tokens that wait to be coded, and the table of positions
      ['1kB:tokens=8', withProfile(), /is too small .* least is \d+ bytes/],
      ['1kB:tokens=8', withoutProfile(), /is too small .* least is \d+ bytes/],
    ];
    for (const [plan, shapes, message] of wrong) {
      expect(() => new KVCache(shapes, plan), JSON.stringify(plan)).to.throw(InvalidArgumentError, message);
      const [, nearest = ''] = /(?:least|most) is (\d+(?:\.\d+)?)/.exec(messageOf(plan, shapes)) ?? [];
      const repaired = {...asPlan(plan).toJSON()} as {ratio?: number; bytesPerToken?: number; bytes?: number};
      const key = (['ratio', 'bytesPerToken', 'bytes'] as const).find(of => of in repaired)!;
      expect(() => new KVCache(shapes, {...repaired, [key]: Number(nearest)} as PlanLike)).not.to.throw();
    }
    for (const size of [
      null,
      5,
      {},
      {ratio: 0},
      {ratio: NaN},
      {bytesPerToken: '4kB'},
      {bytes: 5},
      {bytes: 5, tokens: 0.5},
    ]) {
      expect(() => budget(size as never), JSON.stringify(size)).to.throw(InvalidArgumentError);
    }
    expect(() => asPlan({plan: 'budget'})).to.throw(InvalidArgumentError, /expected \{ratio: 0.1\}/);
    expect(() => asPlan({plan: 'budget', ratio: 0.1, tokens: 5})).to.throw(InvalidArgumentError, /tokens/);
    expect(() => budget({ratio: 0.1}).policyFor(0, 1)).to.throw(
      InvalidArgumentError,
      /policyFor\(depth, depths, model\)/,
    );
  });
});

/** The same shapes, in place, with a window at these depths, or at all. */
function within(shapes: LayerShape[], window: number, ...depths: number[]): LayerShape[] {
  for (const {depth} of shapes) {
    if (depths.length === 0 || depths.includes(depth)) shapes[depth] = {...shapes[depth]!, window};
  }
  return shapes;
}

function messageOf(plan: PlanLike, shapes: LayerShape[]): string {
  try {
    policiesOf(plan, shapes);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return '';
}

describeOnBackends('a budget in bytes', ofBytes, ['wasm']); // bytes do not depend on the backend

function ofBytes(): void {
  const cases = [
    {name: 'transform', shapes: () => withProfile(rotatedProfile), bytes: [230e3, 330e3]},
    {name: 'integers and exact depths', shapes: withProfile, bytes: [600e3, 900e3]},
    {name: 'integers', shapes: withoutProfile, bytes: [340e3, 420e3, 800e3]},
    {name: 'exact within a window', shapes: () => within(withoutProfile(), 40), bytes: [190464]},
    {
      name: 'integers, windows at some depths',
      shapes: () => within(withoutProfile(), 90, 0, 2),
      bytes: [420e3],
    },
    {
      name: 'transform within a window',
      shapes: () => within(withProfile(rotatedProfile), 90),
      bytes: [225e3],
    },
  ];
  const tokens = 300;
  for (const {name, shapes: make, bytes} of cases) {
    it(`is never exceeded, and used: ${name}`, () => {
      for (const most of bytes) {
        for (const [step, expectedTokens] of [
          [1, undefined],
          [64, tokens],
          [100, undefined],
        ] as const) {
          const shapes = make();
          const cache = new KVCache(shapes, budget({bytes: most, tokens}), {expectedTokens});
          let largest = 0;
          for (let at = 0; at < tokens; at += step) {
            tf.tidy(() => {
              const zeros = (heads: number): tf.Tensor4D =>
                tf.zeros([1, heads, Math.min(step, tokens - at), 64]);
              const fresh = {queries: zeros(4), keys: zeros(2), values: zeros(2), rope};
              for (const {depth, window} of shapes) cache.attend(depth, {...fresh, window});
            });
            largest = Math.max(largest, cache.byteSize);
          }
          cache.dispose();
          expect(largest, `${most} bytes, steps of ${step}`).to.be.at.most(most);
          if (name === 'transform') expect(largest).to.be.above(0.75 * most); // fewer tokens may wait than there is room for
        }
      }
    });
  }
}
