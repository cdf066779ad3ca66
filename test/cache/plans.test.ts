import {type PlanLike, asPlan} from '../../cache/plans/as_plan.js';
import type {Policy} from '../../cache/contract.js';
import {makePolicy, tokenBudget} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {tokensHeld} from '../../cache/past/past.js';
import {
  type BandsOptions,
  type ScenarioName,
  bandOf,
  bands,
  perDepth,
  scenario,
  scenarioNames,
  uniform,
} from '../../cache/plans/index.js';
import type {Plan} from '../../cache/plans/plan.js';
import {uniformShapes} from '../../cache/binding/layer_shape.js';
import {setProfileOfModel} from '../../cache/codecs/transform_profile/of_model.js';
import {float8} from '../../cache/policies/float8.js';
import {full} from '../../cache/policies/full.js';
import {h2o} from '../../cache/policies/h2o.js';
import {layered} from '../../cache/policies/layered.js';
import {onlineSvd} from '../../cache/policies/online_svd.js';
import {quantized} from '../../cache/policies/quantized.js';
import {sliding} from '../../cache/policies/sliding.js';
import {adaptive} from '../../cache/policies/adaptive.js';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';
import {rejection} from '../base/files/rejection.js';
import {randomProfile} from '../support/transform_profile.js';
import {policyVariants, throughJson, variantName} from './variants.js';

describe('plans', () => {
  it('split any number of depths into three bands by shares', () => {
    const names = (depths: number) =>
      Array.from({length: depths}, (_, depth) => bandOf(depth, depths)[0]).join('');
    expect(names(32)).to.equal('s'.repeat(12) + 'd'.repeat(12) + 'o'.repeat(8)); // the owner's table
    expect(names(8)).to.equal('sssdddoo');
    expect(names(30)).to.equal('s'.repeat(11) + 'd'.repeat(12) + 'o'.repeat(7));
    expect(names(1)).to.equal('d');
    expect(names(2)).to.equal('sd');
    expect(bandOf(0, 10, [0, 1, 0])).to.equal('deep');
  });

  it('assign the policies of bands to their depths', () => {
    const plan = bands({
      shallow: {name: 'full'},
      deep: quantized(),
      output: {name: 'sliding'},
      shares: [0.5, 0.25, 0.25],
    });
    const names = [0, 1, 2, 3].map(depth => plan.policyFor(depth, 4).name);
    expect(names).to.deep.equal(['full', 'full', 'quantized', 'sliding']);
  });

  const plans = {
    uniform: uniform(quantized({bits: 4})),
    bands: bands(),
    'bands with shares': bands({shares: [0.5, 0.25, 0.25]}),
    'bands of others': bands({shallow: h2o(), shares: [0.2, 0.4, 0.4]}),
    perDepth: perDepth([full(), h2o({heavyBudget: 5}), onlineSvd()]),
    ...Object.fromEntries(scenarioNames.map(name => [`scenario ${name}`, scenario(name)])),
  };
  for (const [name, plan] of Object.entries(plans)) {
    it(`survive JSON: ${name}`, () => {
      const again = asPlan(throughJson(plan.toJSON()));
      expect(again.toJSON()).to.deep.equal(plan.toJSON());
      for (const depth of [0, 1, 2]) {
        expect(again.policyFor(depth, 3).options).to.deep.equal(plan.policyFor(depth, 3).options);
      }
    });
  }

  it('recommend by profile, if the model has one', () => {
    const shapes = uniformShapes({depths: 3, heads: 2, headDim: 16});
    const namesOf = (plan: Plan) => shapes.map(({depth}) => plan.policyFor(depth, 3, shapes).name);
    const recommended = [bands(), bands({output: h2o()}), ...scenarioNames.map(scenario)];
    const [q, t, h] = ['quantized', 'transform', 'h2o'];
    expect(recommended.map(namesOf)).to.deep.equal([
      [q, q, q],
      [q, q, h],
      [q, q, q],
      [q, q, q],
      [h, h, h],
      [q, q, q],
    ]);
    setProfileOfModel(shapes, randomProfile({depths: 3, kvHeads: 2, dim: 16}));
    expect(recommended.map(namesOf)).to.deep.equal([
      [t, t, t],
      [t, t, h],
      [t, t, t],
      [t, t, t],
      [h, h, h],
      [q, q, q],
    ]);
  });

  const wrong: [string, unknown, RegExp][] = [
    ['nothing', null, /null is neither a plan nor a policy/],
    ['a kind that is no name', {plan: 5}, /an object with a key "plan"/],
    ['another kind', {plan: 'band'}, /no plan "band".*Did you mean "bands"\?/],
    ['a key too many', {plan: 'bands', middle: {name: 'full'}}, /"middle" is wrong/],
    ['an unknown policy', {plan: 'uniform', policy: {name: 'h20'}}, /no policy "h20".*"h2o"/],
    ['a wrong option', {plan: 'uniform', policy: {name: 'h2o', options: {sinks: -1}}}, /sinks = -1/],
    ['no policy', {plan: 'uniform'}, /"policy" is missing/],
    ['shares that do not sum to 1', {plan: 'bands', shares: [1, 1, 1]}, /sum to 1/],
    ['an unknown scenario', {plan: 'scenario', name: 'realtime'}, /Did you mean "realTime"\?/],
  ];
  for (const [name, json, message] of wrong) {
    it(`refuse ${name}`, () => {
      expect(() => asPlan(json as PlanLike)).to.throw(InvalidArgumentError, message);
    });
  }

  it('refuse a model with another number of depths', () => {
    const layerShape = (depth: number) => ({depth, heads: 1, kvHeads: 1, dim: 8, dimV: 8});
    expect(() => new KVCache([layerShape(0)], perDepth([full(), full()]))).to.throw(
      InvalidArgumentError,
      /2 depths, but the model has 1/,
    );
  });
});

describeOnBackends('a change of plan on a running cache', () => {
  const rope = {theta: 100};
  const layerShape = {depth: 0, heads: 4, kvHeads: 2, dim: 16, dimV: 16};
  const tokens = (count: number, seed: number) => ({
    queries: tf.randomNormal<tf.Rank.R4>([1, 4, count, 16], 0, 1, 'float32', seed),
    keys: tf.randomNormal<tf.Rank.R4>([1, 2, count, 16], 0, 1, 'float32', seed + 1),
    values: tf.randomNormal<tf.Rank.R4>([1, 2, count, 16], 0, 1, 'float32', seed + 2),
    rope,
  });

  /** 60 tokens under one plan, then another, then 3 more tokens: their output. */
  async function run(from: Parameters<typeof uniform>[0], to: Parameters<typeof uniform>[0]) {
    const cache = new KVCache([layerShape], from);
    tf.tidy(() => void cache.attend(0, tokens(40, 1)));
    tf.tidy(() => void cache.attend(0, tokens(20, 4)));
    const changes = await cache.setPlan(to);
    const output = tf.tidy(() => cache.attend(0, tokens(3, 7)));
    return {cache, changes, output};
  }

  it('from full to others: loses only what the new policy loses', async () => {
    const {cache, output: exact} = await run(full(), full());
    cache.dispose();
    for (const to of [
      quantized({groupSize: 8, residual: 0}),
      onlineSvd({rank: 16}),
      layered({shortTermSize: 8, longTermRank: 16}),
      h2o(),
      adaptive({tolerance: 1e-3}),
    ]) {
      const {cache: other, changes, output} = await run(full(), to);
      expect(changes).to.deep.equal([
        {depth: 0, from: 'full', to: to.name, carriedTokens: 60, evictedTokens: 0},
      ]);
      await expectClose(output, exact, 0.05, to.name);
      expect(other.past(0)!.tokensSeen).to.equal(63);
      output.dispose();
      other.dispose();
    }
    exact.dispose();
  });

  it('from lossy ones to full: holds their tokens in text order, rotated', async () => {
    const {cache: reference, output: exact} = await run(full(), full());
    for (const from of [
      onlineSvd({rank: 16}),
      layered({shortTermSize: 8, longTermRank: 16, sinks: 3}),
      quantized({groupSize: 8, residual: 0}),
      adaptive({tolerance: 0.3, groupSize: 4, residual: 1}),
    ]) {
      const {cache, output} = await run(from, full());
      expect(Object.keys(cache.past(0)!.held)).to.deep.equal([]);
      await expectClose(output, exact, from.name === 'adaptive' ? 0.8 : 0.05, from.name);
      output.dispose();
      cache.dispose();
    }
    exact.dispose();
    reference.dispose();
  });

  it('from evicting ones: reports what is lost, carries the rest', async () => {
    for (const from of [
      h2o({heavyBudget: 10, recentBudget: 10}),
      sliding({window: 16, sinks: 4}),
      sliding({window: 16, sinks: 0}),
    ]) {
      for (const to of [full(), quantized({groupSize: 8, residual: 0}), sliding({window: 20}), h2o()]) {
        if (from.name === to.name) continue;
        const {cache, changes, output} = await run(from, to);
        const {carriedTokens, evictedTokens} = changes[0]!;
        if (to.name === 'sliding') expect(tokensHeld(cache.past(0)!)).to.be.at.most(tokenBudget(to)!);
        expect(carriedTokens).to.be.at.most(20);
        expect(carriedTokens + evictedTokens).to.equal(60);
        expect([...(await output.data())].every(Number.isFinite)).to.equal(true);
        output.dispose();
        cache.dispose();
      }
    }
  });

  it('takes a past without recent tokens, of which some were evicted', async () => {
    const {cache, output} = await run(h2o({heavyBudget: 10, recentBudget: 10}), float8());
    let seed = 10;
    while (cache.past(0)!.recent.tokens > 0) tf.tidy(() => void cache.attend(0, tokens(1, seed++)));
    const {tokensSeen} = cache.past(0)!;
    const held = tokensHeld(cache.past(0)!);
    expect(held).to.be.below(tokensSeen);
    await cache.setPlan(full());
    expect(tokensHeld(cache.past(0)!)).to.equal(held);
    const next = tf.tidy(() => cache.attend(0, tokens(1, seed)));
    expect(cache.past(0)!.tokensSeen).to.equal(tokensSeen + 1);
    expect([...(await next.data())].every(Number.isFinite)).to.equal(true);
    tf.dispose([output, next]);
    cache.dispose();
  });

  for (const from of policyVariants) {
    it(`from ${variantName(from)} to every other: continues within its budget`, async () => {
      for (const to of policyVariants) {
        const policy = makePolicy(to);
        const {cache, output} = await run(makePolicy(from), policy);
        tf.tidy(() => void cache.attend(0, tokens(1, 8)));
        const past = cache.past(0)!;
        expect(past.tokensSeen, variantName(to)).to.equal(64);
        expect(tokensHeld(past), variantName(to)).to.be.at.most(tokenBudget(policy) ?? 64);
        expect([...(await output.data())].every(Number.isFinite)).to.equal(true);
        output.dispose();
        cache.dispose();
      }
    });
  }

  it('refuses anything but a plan, says what is allowed, and stays unchanged', async () => {
    const cache = new KVCache([layerShape], full());
    const wrong = [
      ['quantised', /There is no policy "quantised".*"quantized"/],
      ['quantized:bits', /"bits" in "quantized:bits" is not an option/],
      [4, /4 is neither a plan/],
      [quantized, /a function is neither a plan.*Call it/],
      [{bits: 8}, /neither a plan nor a policy/],
      [{name: 'quantized', bits: 4}, /"bits" next to its name/],
      [{policyFor: 3}, /neither a plan nor a policy/],
      [{name: 'mine', keep: 3}, /neither a plan nor a policy/],
      [{keep: (past: unknown) => past}, /neither a plan nor a policy/],
      [Symbol('full'), /Symbol\(full\) is neither a plan/],
      [5n, /5 is neither a plan/],
      [{name: 'quantised'}, /There is no policy "quantised".*"quantized"/],
    ] as const;
    for (const [given, message] of wrong) {
      const plan = given as unknown as Policy;
      expect(() => new KVCache([layerShape], plan)).to.throw(InvalidArgumentError, message);
      expect(() => uniform(plan)).to.throw(InvalidArgumentError, message);
      await rejection(cache.setPlan(plan), InvalidArgumentError, message);
    }
    expect(() => perDepth('full' as unknown as Policy[])).to.throw(InvalidArgumentError, /expected a list/);
    for (const given of [undefined, null, 'fulll', {name: 'nope'}]) {
      const plan = {policyFor: () => given as unknown as Policy, toJSON: () => ({plan: 'mine'})};
      expect(() => new KVCache([layerShape], plan)).to.throw(InvalidArgumentError);
    }
    for (const given of [null, 'memory', 5]) {
      expect(() => bands(given as BandsOptions)).to.throw(
        InvalidArgumentError,
        /bands\(.*expected an object/,
      );
      if (given !== 'memory')
        expect(() => scenario(given as unknown as ScenarioName)).to.throw(InvalidArgumentError);
    }
    expect(cache.report()[0]!.policy).to.equal('full');
  });

  it('does not blame the new policy for tokens that a former one evicted', async () => {
    const {cache, output} = await run(sliding({window: 8, sinks: 0}), full());
    const message = /^\d+ of \d+ tokens were evicted \(the policy is full now\)/;
    await rejection(cache.truncate(cache.tokens - 1), CacheStateError, message);
    output.dispose();
    cache.dispose();
  });

  it('is refused if the cache changes meanwhile', async () => {
    for (const meanwhile of ['dispose', 'reset'] as const) {
      const {cache, output} = await run(full(), full());
      const change = rejection(cache.setPlan(quantized()), CacheStateError, /changed while setPlan/);
      cache[meanwhile]();
      await change;
      expect(cache.report()[0]!.policy).to.equal('full');
      output.dispose();
      cache.dispose();
    }
  });

  it('does not take later tokens for sinks if the first ones were evicted', async () => {
    const {cache, output} = await run(sliding({window: 16, sinks: 0}), sliding({window: 8, sinks: 4}));
    const {held, recent} = cache.past(0)!;
    expect(Object.keys(held)).to.deep.equal([]);
    expect([recent.positions, recent.tokens]).to.deep.equal([55, 8]);
    output.dispose();
    cache.dispose();
  });

  it('leaks nothing, and is refused if the plan does not fit', async () => {
    await expectNoLeak(async () => {
      for (const [from, to] of [
        [full(), onlineSvd({rank: 8})],
        [onlineSvd({rank: 8}), h2o({heavyBudget: 8, recentBudget: 8})],
        [h2o({heavyBudget: 8, recentBudget: 8}), quantized()],
      ] as const) {
        const {cache, output} = await run(from, to);
        output.dispose();
        let error: unknown;
        await cache.setPlan(perDepth([full(), full()])).catch((caught: unknown) => (error = caught));
        expect(error).to.be.instanceOf(InvalidArgumentError);
        expect(cache.report()[0]!.policy).to.equal(to.name);
        cache.dispose();
      }
    });
  });
});
