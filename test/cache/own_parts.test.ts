import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../base/errors.js';
import {
  type Keeper,
  KVCache,
  asPolicy,
  policy,
  quantized,
  registerCodec,
  registerKeeper,
  registerPolicy,
  uniformShapes,
} from '../../cache/index.js';
import {Registry} from '../../cache/registry.js';
import {bytesOf} from '../../cache/keepers/budget.js';
import {float8} from '../../cache/codecs/float8.js';

// Keepers, codecs and policies of users, in plain JavaScript too: factories that check and list nothing.

registerKeeper('testNewest', ({budget = 48}: {budget?: number} = {}) => ({
  name: 'testNewest',
  options: {budget},
  budget,
  score: ({positions}) => positions,
}));
registerCodec('testSmall', ({bits = 5}: {bits?: number} = {}) => ({
  ...float8(),
  name: 'testSmall',
  options: {bits},
}));
registerPolicy('testBoth', ({store = 'dense'}: {store?: string} = {}) => policy({keep: 'window', store}));

/** Plain JavaScript has no types. */
const untyped = (given: unknown) => given as never;

describe('keepers, codecs and policies of users', () => {
  it('leave the other half of a text to its owner', () => {
    const stored = (text: string) => asPolicy(text).store.options;
    for (const name of ['testNewest', 'testBoth', 'testNewest:budget=9']) {
      const text = name.includes(':') ? `${name},` : `${name}:`;
      expect(stored(`${text}store=integer,bits=2`), name).to.have.property('bits', 2);
      expect(stored(`${text}store=lowRank,rank=4`), name).to.have.property('rank', 4);
      expect(stored(`${text}store=float8,format=e5m2`), name).to.have.property('format', 'e5m2');
      expect(stored(`${text}store=testSmall,bits=3`), name).to.have.property('bits', 3);
    }
    expect(stored('testNewest:bits=4')).to.have.property('bits', 4);
    expect(stored('h2o:store=testSmall,bits=3')).to.have.property('bits', 3);
    expect(asPolicy('policy:keep=testNewest,budget=7').keep.budget).to.equal(7);
  });

  it('refuse options that they do not list', () => {
    for (const text of ['testNewest:budgett=20', 'testNewest:foo=1', 'h2o:store=testSmall,bit=3']) {
      expect(() => asPolicy(text), text).to.throw(InvalidArgumentError, /has no option "\w+"; it has/);
    }
    expect(() => asPolicy('testNewest:budgett=20')).to.throw('Did you mean "budget"?');
  });

  it('are checked when they are used', () => {
    const wrong: readonly [string, Partial<Record<keyof Keeper, unknown>>, RegExp][] = [
      ['a misspelt statistic', {observes: {statistic: 'lastmass'}}, /observes/],
      ['uses without a threshold', {observes: {statistic: 'uses'}}, /threshold/],
      ['a statistic alone', {observes: 'mass'}, /observes/],
      ['a score that is no function', {score: 5}, /score/],
      ...['x', 'NaN', '64xB', '12', null, {}, 1.5, -3, NaN].map(
        budget => [`a budget of ${JSON.stringify(budget)}`, {budget}, /budget/] as [string, object, RegExp],
      ),
    ];
    for (const [what, parts, message] of wrong) {
      const keep: Keeper = untyped({name: 'mine', options: {}, budget: 20, ...parts});
      expect(() => policy({keep}), what).to.throw(InvalidArgumentError, message);
      expect(() => asPolicy({...quantized(), keep}), what).to.throw(InvalidArgumentError, message);
    }
    expect(() => asPolicy('testNewest:budget=64xB')).to.throw(InvalidArgumentError, /budget = "64xB"/);
    expect(() => policy({store: untyped([])})).to.throw(
      InvalidArgumentError,
      /store = \[\]; expected a codec/,
    );
    for (const parts of [{sinks: NaN}, {recent: -1}, {recent: '32'}]) {
      expect(() => asPolicy(untyped({...quantized(), ...parts}))).to.throw(
        InvalidArgumentError,
        /expected a whole/,
      );
    }
  });

  it('may have a budget in bytes as the command line prints them', () => {
    const limit = (budget: string) => bytesOf(asPolicy(`testNewest:budget=${budget}`).keep.budget!);
    expect(['64kB', '16KiB', '1.5MiB', '2MB', '7B'].map(limit)).to.deep.equal([64e3, 16384, 1572864, 2e6, 7]);
  });

  it('have a score for each token and head', async () => {
    await tf.setBackend('cpu');
    const random = () => tf.randomNormal<tf.Rank.R4>([1, 1, 40, 4]);
    for (const [score, message] of [
      [() => 3, /returned 3/],
      [() => undefined, /returned undefined/],
      [() => Promise.resolve(), /returned .*expected a tensor/],
      [() => tf.zeros([1, 2]), /returned a tensor \[1, 2\]; expected a tensor \[1, 1, \d+, 1\]/],
    ] as const) {
      const keep = {name: 'mine', options: {}, budget: 4, score: untyped(score)};
      const cache = new KVCache(uniformShapes({depths: 1, heads: 1, headDim: 4}), policy({keep, recent: 8}));
      const fresh = {queries: random(), keys: random(), values: random()};
      expect(() => cache.attend(0, fresh)).to.throw(InvalidArgumentError, message);
      tf.dispose(fresh);
      cache.dispose();
    }
  });

  it('are registered under names that a text can hold, and that nobody has', () => {
    const keeper = () => ({name: 'x', options: {}});
    for (const name of [
      '',
      'a:b,c=d',
      '0.1x',
      'with space',
      undefined,
      5,
      'h2o',
      'quantized',
      'policy',
      'window',
    ]) {
      expect(() => registerKeeper(untyped(name), keeper), String(name)).to.throw(InvalidArgumentError);
    }
    expect(() => registerKeeper('testNothing', untyped(5))).to.throw(
      InvalidArgumentError,
      /expected a function/,
    );
    for (const made of [5, undefined, null, {}]) {
      const registry = new Registry('keeper', {broken: untyped(() => made)});
      expect(() => registry.make({name: 'broken'})).to.throw(
        InvalidArgumentError,
        /of the keeper "broken" returned/,
      );
    }
  });
});
