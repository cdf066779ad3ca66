import {expect} from 'chai';
import {InvalidArgumentError} from '../../base/errors.js';
import {
  KVCache,
  type PlanLike,
  asPlan,
  asPolicy,
  bands,
  codecNames,
  h2o,
  keeperNames,
  policy,
  quantized,
  scenario,
  sliding,
  storeNames,
  uniform,
  uniformShapes,
} from '../../cache/index.js';
import {policySpec, policyText} from '../../cache/policies/policy_text.js';
import {shippedPolicies, throughJson} from './variants.js';

const shapes = uniformShapes({depths: 2, heads: 4, kvHeads: 2, headDim: 16});

/** What stands at each of two depths, with all options. */
const partsOf = (given: PlanLike) =>
  [0, 1].map(depth => {
    const {name, options, sinks, recent, keep, store} = asPlan(given).policyFor(depth, 2);
    const spec = (of: {name: string; options: object}) => ({name: of.name, options: of.options});
    return {name, options, sinks, recent, keep: spec(keep), store: spec(store)};
  });

describe('whatever can be read as a plan', () => {
  const plan = h2o({heavyBudget: 64, store: {bits: 4}});
  const alike: Record<string, PlanLike> = {
    'a policy': plan,
    'the command line’s text': 'h2o:heavyBudget=64,store=integer,bits=4',
    'its short text': 'h2o:heavyBudget=64,bits=4',
    'a spec': {name: 'h2o', options: {heavyBudget: 64, store: {name: 'integer', options: {bits: 4}}}},
    'a spec with bare options of integer': {name: 'h2o', options: {heavyBudget: 64, store: {bits: 4}}},
    'a list': [plan, 'h2o:heavyBudget=64,bits=4'],
    'a plan': uniform(plan),
    'JSON of a policy': JSON.stringify({name: 'h2o', options: plan.options}),
    'JSON of a plan': JSON.stringify(uniform(plan)),
    'an object of JSON': throughJson(uniform(plan).toJSON()),
    'JSON of a list': JSON.stringify([plan, plan].map(({name, options}) => ({name, options}))),
  };
  for (const [name, given] of Object.entries(alike)) {
    it(`is the same: ${name}`, () => {
      expect(partsOf(given)).to.deep.equal(partsOf(plan));
      using cache = new KVCache(shapes, given);
      expect(cache.report().map(row => row.policy)).to.deep.equal(['h2o', 'h2o']);
    });
  }

  it('names presets, keepers, bands and scenarios', () => {
    for (const name of shippedPolicies()) expect(partsOf(name)[0]!.name).to.equal(name);
    for (const name of keeperNames()) {
      const [{keep, sinks, recent}] = partsOf(name) as [ReturnType<typeof partsOf>[0]];
      expect([keep.name, sinks]).to.deep.equal([name, 4]);
      expect(recent, name).to.equal(Math.max(32, asPolicy(name).keep.queries ?? 0));
    }
    expect(asPlan('bands').toJSON()).to.deep.equal(bands().toJSON());
    expect(asPlan('memory').toJSON()).to.deep.equal(scenario('memory').toJSON());
  });

  it('gives each half its options', () => {
    const both = asPolicy('quantized:bits=4,keep=heaviest,budget=96,normalize=true');
    expect(both.keep.options).to.deep.equal({budget: 96, normalize: true, refit: false});
    expect(both.store.options).to.have.nested.property('keys.options.bits', 4);
    const kept = asPolicy('heaviest:budget=64kB,recent=16,store=lowRank,rank=8,sinks=2');
    expect([kept.name, kept.sinks, kept.recent, kept.keep.budget]).to.deep.equal(['heaviest', 2, 16, '64kB']);
    expect([kept.store.name, kept.store.options['rank']]).to.deep.equal(['lowRank', 8]);
    const pair = policy({keep: 'window', store: {keys: {bits: 8}, values: 'float8'}});
    expect([pair.store.name, pair.store.options]).to.deep.equal([
      'pair',
      {
        keys: {name: 'integer', options: asPolicy('window:bits=8').store.options},
        values: {name: 'float8', options: {format: 'e4m3'}},
      },
    ]);
    const texts = policy({
      keep: 'dropKv:queries=16,budget=64kB',
      store: {keys: 'integer:bits=4', values: 'float8:format=e5m2'},
    });
    expect([texts.keep.queries, texts.keep.budget]).to.deep.equal([16, '64kB']);
    expect(texts.store.options).to.have.nested.property('keys.options.bits', 4);
    expect(texts.store.options).to.have.nested.property('values.options.format', 'e5m2');
    expect(policy({store: 'integer:bits=4'}).store.options).to.deep.equal(
      asPolicy('policy:bits=4').store.options,
    );
    for (const codec of storeNames()) expect(asPolicy(`sliding:store=${codec}`).store.name).to.equal(codec);
  });

  it('reads what policyText wrote', () => {
    for (const given of [
      'full',
      'quantized:bits=4,residual=16',
      'h2o:heavyBudget=64kB,store=integer,bits=4,groupSize=16',
      'sliding:window=64,store=lowRank,rank=8',
      'float8:sinks=0,keep=lastUsed,budget=100',
      'mostUsed:budget=40,threshold=0.1,store=float8,format=e5m2',
    ]) {
      const read = asPolicy(given);
      const defaults = asPolicy(read.name).options;
      expect(policyText(read, defaults)).to.equal(given);
    }
    const sides = h2o({store: {keys: {bits: 4}, values: 'float8'}});
    expect(asPlan(policyText(sides, h2o().options)).policyFor(0, 1).options).to.deep.equal(sides.options);
    for (const [key, value] of [
      ...['a,b', 'a=b', 'b ', 'a:b'].map(value => ['mode', value] as const),
      ...['a,b', 'a=b'].map(key => [key, 1] as const),
    ]) {
      const options = {[key]: value};
      const text = policyText({name: 'mine', options}, {});
      expect(text.startsWith('{') ? JSON.parse(text) : policySpec(text, () => undefined)).to.deep.equal({
        name: 'mine',
        options,
      });
    }
    for (const name of ['a:b', 'a=b', '{'])
      expect(JSON.parse(policyText({name}, {}))).to.have.property('name', name);
    // names of digits, which text would make a number of
    for (const profile of ['0123456789012345', '1234567890123456', '12345e6789012345']) {
      const text = policyText({name: 'transform', options: {bits: 3, profile}}, {bits: 2.5, profile: null});
      expect(JSON.parse(text)).to.deep.equal({name: 'transform', options: {bits: 3, profile}});
    }
  });

  it('takes policies by name in the JSON of a plan, too', () => {
    const same = (json: object, plan: PlanLike) =>
      expect(asPlan(json as PlanLike).toJSON()).to.deep.equal(asPlan(plan).toJSON());
    same({plan: 'uniform', policy: 'h2o'}, h2o());
    same({plan: 'perDepth', policies: ['quantized:bits=4', {name: 'h2o'}]}, [quantized({bits: 4}), h2o()]);
    same({plan: 'bands', deep: 'h2o'}, bands({deep: h2o()}));
  });

  it('reads texts of keepers and codecs as those of policies', () => {
    const twice = /has the option "queries" twice/;
    expect(() => asPolicy('dropKv:queries=1,queries=2')).to.throw(InvalidArgumentError, twice);
    expect(() => policy({keep: 'dropKv:queries=1,queries=2'})).to.throw(InvalidArgumentError, twice);
    expect(() => policy({keep: 'dropKv:queries'})).to.throw(
      InvalidArgumentError,
      /"queries" in "dropKv:queries"/,
    );
    expect(() => policy({keep: 'dropKv:bits=4'})).to.throw(
      InvalidArgumentError,
      /dropKv has no option "bits"/,
    );
    expect(() => policy({store: 'integer:bits=4=8'})).to.throw(InvalidArgumentError, /"bits=4=8"/);
    expect(() => policy({store: 'integer:bit=4'})).to.throw(InvalidArgumentError, /Did you mean "bits"/);
  });

  it('names all codecs that can store, if a text names none of them', () => {
    const [all, sides] = [storeNames(), codecNames()].map(names => names.join(', '));
    expect(storeNames().length).to.be.above(codecNames().length);
    const refusals: readonly (readonly [() => unknown, string])[] = [
      [() => asPolicy('dropKv:store=layered'), `no codec "layered"; there are ${all}.`],
      [() => asPolicy('h2o:store=transfrom'), `there are ${all}. Did you mean "transform"?`],
      [() => policy({store: {name: 'nothing'}}), `no codec "nothing"; there are ${all}.`],
      [() => policy({store: {keys: 'nothing', values: 'dense'}}), `no codec "nothing"; there are ${sides}.`],
      [
        () => policy({store: {keys: 'dense', values: 'onlineSvd'}}),
        `onlineSvd encodes keys and values together; give it as the whole of store, or one of ${sides} for a side.`,
      ],
    ];
    for (const [refused, message] of refusals) expect(refused).to.throw(InvalidArgumentError, message);
  });

  it('refuses anything else with a reason', () => {
    const wrong: [unknown, RegExp][] = [
      ...['4kb/token', '100MB', '0,1x', '-1x', '1e-9x', 'NaNx', '10%'].map((text): [unknown, RegExp] => [
        text,
        /is no size of a budget; .* 0\.1x.* 4kB\/token.* 20MB:tokens=4096/,
      ]),
      ['h2o:heavyBudget=5=6', /"heavyBudget=5=6" in .* is not an option/],
      ['h2o:heavyBudget=5,heavyBudget=6', /has the option "heavyBudget" twice/],
      ['h2o:heavyBudget', /"heavyBudget" in "h2o:heavyBudget" is not an option/],
      ['h2o:heavyBudget=64,store=integr', /no codec "integr".*Did you mean "integer"/],
      ['h2o:heavyBudget=64,bit=4', /h2o has no option "bit"/],
      ['dropKv:foo=1', /^dropKv has no option "foo"; it has budget, refit, queries, sinks, store, recent\.$/],
      ['dropKv:recnt=1', /Did you mean "recent"\?$/],
      ['all:foo=1', /all has no option "foo"; it has sinks, store, recent/],
      ['h2o:store=float8,bits=4', /h2o has no option "bits"/],
      ['full:store=integer', /full has no option "store"/],
      ['realtime', /no plan "realtime".*Did you mean "realTime"/],
      ['{"plan": "uniform"', /not valid JSON/],
      ['[]', /plan is for 0 depths/],
      [['full'], /plan is for 1 depths, but the model has 2/],
      [{name: 'h2o', options: {store: {keys: {bits: 4}}}}, /store = .*one for each side/],
      [
        {name: 'h2o', options: {store: {keys: 'dense', values: 'float8', value: 'dense'}}},
        /store has no option "value"; it has keys, values\. Did you mean "values"/,
      ],
      [{name: 'h2o', options: {store: {name: 'dense', keys: 'dense', values: 'dense'}}}, /no option "name"/],
      [{name: 'h2o', options: {store: {name: 'pair'}}}, /store = {}; expected a codec/],
      [{name: 'h2o', options: {store: {name: 'integer', options: {}, bits: 4}}}, /"bits" next to its name/],
      [{name: 'quantized', options: {keep: 5}}, /keep = 5; expected a keeper/],
      [undefined, /undefined is neither a plan/],
      [Array(2), /undefined is neither a plan nor a policy/],
      [{plan: 'uniform'}, /"policy" is missing/],
      [{plan: 'uniform', policy: 5}, /"policy" is wrong: expected a policy: its name/],
      [{plan: 'uniform', policy: 'h3o'}, /no policy "h3o".*Did you mean "h2o"/],
      [{plan: 'bands', shares: 5}, /"shares" is wrong: expected a list of three shares/],
      [{plan: 'perDepth', policies: 'h2o'}, /"policies" is wrong: expected a list of policies/],
      [{plan: 'scenario'}, /"name" is missing/],
      ...['0', '1.5', '16777217', '1e300'].map((ahead): [unknown, RegExp] => [
        `expectedAttention:ahead=${ahead}`,
        /expectedAttention: ahead = .*; expected a whole number from 1 to 16777216\.$/,
      ]),
      ['quantized:groupSize=1e99', /groupSize = 1e\+99; expected a whole number from 1 to 1024/],
      ['adaptive:groupSize=4096', /groupSize = 4096; expected a whole number from 1 to 1024/],
      ['h2o:groupSize=4096', /groupSize = 4096; expected a whole number from 1 to 1024/],
    ];
    for (const [given, message] of wrong) {
      const make = () => new KVCache(shapes, asPlan(given as PlanLike));
      expect(make, JSON.stringify(given)).to.throw(InvalidArgumentError, message);
    }
  });

  it('refuses a budget that is too small for the codec', () => {
    for (const plan of [
      sliding({window: 50, recent: 32, store: {bits: 4, groupAxis: 'channel', groupSize: 32}}),
      h2o({heavyBudget: 12, recentBudget: 4, store: {name: 'lowRank', options: {rank: 8}}}),
    ]) {
      expect(() => new KVCache(shapes, plan)).to.throw(
        InvalidArgumentError,
        /budget of .* tokens is too small/,
      );
    }
    expect(() => quantized({keep: 'heaviest', bits: 4})).not.to.throw();
  });
});
