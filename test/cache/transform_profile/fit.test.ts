import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import type {DepthTransforms, TransformProfile} from '../../../cache/codecs/transform_profile/index.js';
import {setProfileOfModel} from '../../../cache/codecs/transform_profile/of_model.js';
import {KVCache, calibrationDrift, registerProfile, transform, uniformShapes} from '../../../cache/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';
import {rejection} from '../../base/files/rejection.js';
import {tinyModel} from '../../support/tiny_model.js';
import {randomProfile, randomProfileId} from '../../support/transform_profile.js';

const [depths, heads, kvHeads, headDim] = [2, 4, 2, 16];
const rope = {theta: 100};
const plan = transform({profile: randomProfileId({depths, kvHeads, dim: headDim, rope}), sinks: 0});

/** Attends 20 tokens at the first depth. */
function step(cache: KVCache, config: RopeConfig | undefined): void {
  tf.tidy(() => {
    const ones = (count: number) => tf.ones<tf.Rank.R4>([1, count, 20, headDim]);
    const keys = ones(kvHeads);
    cache.attend(0, {queries: ones(heads), keys, values: keys, ...(config && {rope: config})});
  });
}

describe('the id of a profile', () => {
  it('differs with its rotary positions, its transforms and the weights of channels', () => {
    const sizes = {depths, kvHeads, dim: headDim};
    const profile = randomProfile({...sizes, rope});
    const [first, ...rest] = profile.depths;
    const heavier = {...first!.keys, weights: first!.keys.weights.map(x => 2 * x)};
    const ids = [
      profile,
      randomProfile({...sizes, rope: {theta: 101}}),
      randomProfile(sizes),
      randomProfile({...sizes, rope}, 2),
      {...profile, depths: [{...first!, keys: heavier}, ...rest]},
    ].map(registerProfile);
    expect(new Set(ids).size).to.equal(ids.length);
    expect(registerProfile(randomProfile({...sizes, rope}))).to.equal(ids[0]);
  });
});

describe('a profile that is none', () => {
  const profile = randomProfile({depths, kvHeads, dim: headDim, rope});
  const [{keys, values}, second] = profile.depths as [DepthTransforms, DepthTransforms];
  const withKeys = (changed: object) => ({
    ...profile,
    depths: [{keys: {...keys, ...changed}, values}, second],
  });
  const cases: [string, unknown, RegExp][] = [
    ['without depths', {...profile, depths: []}, /depths = \[\]; expected the transforms of each depth/],
    ['that is nothing but depths', {depths: []}, /profile: fingerprint is missing/],
    ['that is an array', [profile], /expected an object with fingerprint/],
    ['of no tokens', {...profile, tokens: 0}, /tokens = 0; expected a whole number >= 1/],
    ['with other texts', {...profile, texts: 'a'}, /texts = "a"; expected names of texts/],
    ['with rotary positions that are none', {...profile, rope: {theta: 'x'}}, /profile: rope.theta/],
    ['with one side', {...profile, depths: [{keys}]}, /profile: depths.0.values is missing/],
    [
      'with lists in place of arrays',
      withKeys({mean: [...keys.mean]}),
      /depths.0.keys.mean = .*Float32Array/,
    ],
    [
      'of other heads',
      withKeys({kvHeads: 3}),
      /depths.0.keys = .*expected mean with finite numbers \[3, 16\]/,
    ],
    [
      'with a table cut off',
      withKeys({synthesis: keys.synthesis.slice(1)}),
      /expected synthesis with finite numbers \[2, 16, 16\]/,
    ],
    [
      'with NaN',
      withKeys({weights: keys.weights.map((x, i) => (i === 3 ? NaN : x))}),
      /expected weights with finite numbers \[2, 16\]/,
    ],
    [
      'with negative weights',
      withKeys({weights: keys.weights.map(x => -x)}),
      /weights that are not negative/,
    ],
    [
      'without scales',
      withKeys({tokenScales: undefined}),
      /depths.0.keys.tokenScales is missing|tokenScales = undefined/,
    ],
    ['with rotated means alone', {...profile, rope: undefined}, /depths.0.keys has a rotatedMean; expected/],
  ];
  for (const [name, given, message] of cases) {
    it(`is refused ${name}`, () => {
      const made = () => transform({profile: given as TransformProfile});
      expect(made).to.throw(InvalidArgumentError, message);
    });
  }

  it('is refused by what registers profiles, too', () => {
    expect(() => registerProfile({...profile, depths: []})).to.throw(InvalidArgumentError, /depths/);
  });
});

describe('a profile of another model', () => {
  before(() => useBackend('wasm'));

  it('is refused by sizes when a cache is made', () => {
    for (const other of [{kvHeads: 4}, {headDim: 32}, {heads: 8, kvHeads: 1}]) {
      const shapes = uniformShapes({depths, heads, kvHeads, headDim, ...other});
      expect(() => new KVCache(shapes, plan)).to.throw(
        InvalidArgumentError,
        /profile is of 2 key heads with 16 .* this model has . with \d+ and \d+: calibrate this model/,
      );
    }
  });

  it('is refused by depths and rotary positions when tokens are stored, which leaves the cache as it was', () => {
    const shapes = (of: number) => uniformShapes({depths: of, heads, kvHeads, headDim});
    const cases: [number, RopeConfig | undefined, RegExp][] = [
      [3, rope, /model with 2 attention layers, and this one has 3 attention layers/],
      [2, {theta: 10_000}, /positions {"theta":100}, and this one has the rotary positions {"theta":10000}/],
      [2, {...rope, interleaved: true}, /"interleaved":true}: calibrate/],
      [2, {...rope, rotaryDim: 8}, /"rotaryDim":8}: calibrate/],
      [2, {...rope, scaling: {type: 'linear', factor: 2}}, /"factor":2}}: calibrate/],
      [2, undefined, /this one has no rotary positions: calibrate/],
    ];
    for (const [count, config, message] of cases) {
      using cache = new KVCache(shapes(count), plan);
      const {numTensors} = tf.memory();
      expect(() => {
        step(cache, config);
      }).to.throw(InvalidArgumentError, message);
      expect([cache.tokensSeen(0), tf.memory().numTensors - numTensors]).to.deep.equal([0, 0]);
    }
    using cache = new KVCache(shapes(2), plan);
    step(cache, {theta: 100, rotaryDim: 16, interleaved: false}); // the same, written out
    expect(cache.past(0)!.held['stored']!.tokens).to.equal(16);
  });
});

/** Attends 20 random tokens at all depths; returns their outputs at the last one. */
function wholeStep(cache: KVCache): number[] {
  return tf.tidy(() => {
    const random = (count: number, seed: number) =>
      tf.randomNormal<tf.Rank.R4>([1, count, 20, headDim], 0, 1, 'float32', seed + cache.tokens);
    const fresh = {queries: random(heads, 1), keys: random(kvHeads, 2), values: random(kvHeads, 3), rope};
    const outputs = Array.from({length: depths}, (_, depth) => cache.attend(depth, fresh));
    return [...outputs.at(-1)!.dataSync<'float32'>()];
  });
}

describe('a model without a profile', () => {
  before(() => useBackend('wasm'));

  const advice = /no profile.*several times.*eigenkv calibrate --profile FILE.*4 bits/;

  it('is told of once by each family of caches, and those of its layer shapes have nothing to say', async () => {
    const model = tinyModel();
    const told: string[] = [];
    const onWarning = (message: string) => told.push(message);
    using cache = new KVCache(model, 'quantized', {onWarning});
    expect(told).to.deep.equal([]);
    await cache.setPlan('transform');
    expect(told).to.have.length(1);
    expect(told[0]).to.match(advice);
    using fork = cache.fork();
    await fork.setPlan('full');
    await fork.setPlan('transform:bits=4');
    new KVCache(uniformShapes({depths, heads, kvHeads, headDim}), 'transform', {onWarning}).dispose();
    expect(told).to.have.length(1);
    new KVCache(model, 'transform', {onWarning}).dispose();
    expect(told).to.have.length(2);
    const profile = randomProfile({depths, kvHeads, dim: 8, rope: {theta: 10_000}});
    setProfileOfModel(model, profile);
    new KVCache(model, 'transform', {onWarning}).dispose();
    expect(told).to.have.length(2);
    model.dispose();
  });

  it('is told of on the console once, whatever caches it has', () => {
    const {warn} = console;
    const told: unknown[] = [];
    console.warn = (message: unknown) => told.push(message);
    try {
      for (const model of [tinyModel(1), tinyModel(1)]) {
        for (const plan of ['transform', 'transform:bits=3']) new KVCache(model, plan).dispose();
        model.dispose();
      }
    } finally {
      console.warn = warn;
    }
    expect(told).to.have.length(2);
    for (const message of told)
      expect(message)
        .to.match(/^eigenkv: /)
        .and.match(advice);
  });
});

describe('a model whose profile changes', () => {
  before(() => useBackend('wasm'));

  it('has caches that go on by the profile of their tokens, and refuses tokens of another', async () => {
    const shapes = uniformShapes({depths, heads, kvHeads, headDim});
    const use = (seed: number) => {
      setProfileOfModel(shapes, randomProfile({depths, kvHeads, dim: headDim, rope}, seed));
    };
    use(1);
    using cache = new KVCache(shapes, 'transform');
    wholeStep(cache);
    const saved = await cache.save();
    use(2);
    using fork = cache.fork();
    const [expected, output] = [wholeStep(cache), wholeStep(fork)];
    expect(output).to.deep.equal(expected);

    using other = new KVCache(shapes, 'transform');
    expect(() => {
      other.continueFrom(cache);
    }).to.throw(InvalidArgumentError, /profiles/);
    await rejection(
      KVCache.restore(saved, shapes),
      InvalidArgumentError,
      /another profile: .* stored by the profile [0-9a-f]{16}, and the model has the profile [0-9a-f]{16} now/,
    );
    expect(await calibrationDrift(cache)).to.equal(undefined); // of a profile that the model no longer has
    expect(await cache.setPlan('transform')).to.have.length(depths); // stores all tokens again
    expect(await calibrationDrift(cache)).not.to.equal(undefined);
    other.continueFrom(cache);

    use(1);
    using restored = await KVCache.restore(saved, shapes);
    expect(wholeStep(restored)).to.deep.equal(expected);
  });

  it('refuses snapshots without a profile, unless nothing is stored yet', async () => {
    const shapes = uniformShapes({depths, heads, kvHeads, headDim});
    using cache = new KVCache(shapes, 'transform');
    const empty = await cache.save();
    for (let i = 0; i < 20; i++) wholeStep(cache);
    const saved = await cache.save();
    setProfileOfModel(shapes, randomProfile({depths, kvHeads, dim: headDim, rope}));
    await rejection(KVCache.restore(saved, shapes), InvalidArgumentError, /stored by no profile/);
    using restored = await KVCache.restore(empty, shapes);
    wholeStep(restored);
    expect(restored.past(0)!.held['stored']!.tokens).to.equal(16);
  });
});
