import type {LayerShape} from '../../cache/binding/layer_shape.js';
import type {Spec} from '../../base/options.js';
import {makeCodec} from '../../cache/codecs/as_store.js';
import {makePolicy, asPolicy, policyNames, registerPolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, type KVCacheOptions} from '../../cache/kv_cache.js';
import {full} from '../../cache/policies/full.js';
import {quantized} from '../../cache/policies/quantized.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {describeOnBackends} from '../support/backends.js';

const layerShape = (depth: number) => ({depth, heads: 2, kvHeads: 1, dim: 32, dimV: 32});

function fresh(tokens: number, batch = 1) {
  const make = (heads: number) => tf.randomNormal<tf.Rank.R4>([batch, heads, tokens, 32]);
  return {queries: make(2), keys: make(1), values: make(1)};
}

describeOnBackends('KVCache', () => {
  it('reports each depth with its bytes and those of float32', () => {
    tf.tidy(() => {
      const cache = new KVCache(
        [layerShape(0), layerShape(1)],
        quantized({bits: 8, groupSize: 32, residual: 0, sinks: 0}),
        {
          expectedTokens: 64,
        },
      );
      cache.attend(0, fresh(64));
      const [first, second] = cache.report();
      expect(first).to.deep.include({depth: 0, policy: 'quantized', tokensSeen: 64, tokensHeld: 64});
      expect(first!.float32Bytes).to.equal(64 * 2 * 32 * 4);
      // codes, one word of parameters for 32 tokens or channels, and room for 16 tokens in the recent buffer
      expect(first!.byteSize).to.equal(64 * 2 * 32 * (1 + 4 / 32) + 16 * 2 * 32 * 4);
      expect(second).to.deep.include({tokensSeen: 0, tokensHeld: 0, byteSize: 0, float32Bytes: 0});
      expect(cache.tokens).to.equal(0); // the second depth has seen none yet
      cache.attend(1, fresh(64));
      expect(cache.tokens).to.equal(64);
      cache.dispose();
    });
  });

  it('grows in amortised constant time per token, and not beyond expectedTokens', () => {
    const cache = new KVCache([layerShape(0)], full(), {expectedTokens: 300});
    const buffers = new Set<number>();
    tf.tidy(() => {
      for (let i = 0; i < 300; i++) {
        cache.attend(0, fresh(1));
        buffers.add(cache.past(0)!.recent.keys.data.id);
      }
    });
    expect(cache.byteSize).to.equal(300 * 2 * 32 * 4);
    expect(buffers.size, 'buffers in 300 tokens: of a sixteenth more each, four at least').to.be.below(40);
    tf.tidy(() => cache.attend(0, fresh(1)));
    expect(cache.past(0)!.tokensSeen, 'more than expected works too').to.equal(301);
    cache.dispose();
  });

  it('refuses tokens that do not fit, and stays unchanged', () => {
    tf.tidy(() => {
      const cache = new KVCache([layerShape(0)], full());
      cache.attend(0, fresh(3));
      const {byteSize} = cache;
      const {numTensors} = tf.memory();
      const wrong = {
        'another depth': () => cache.attend(1, fresh(1)),
        'another batch': () => cache.attend(0, fresh(1, 2)),
        'no tokens': () => cache.attend(0, {...fresh(1), ...noTokens()}),
        'other heads': () => cache.attend(0, {...fresh(1), keys: tf.zeros([1, 2, 1, 32])}),
        'NaN in keys': () => cache.attend(0, {...fresh(1), keys: tf.fill([1, 1, 1, 32], NaN)}),
        'infinity in values': () => cache.attend(0, {...fresh(1), values: tf.fill([1, 1, 1, 32], -Infinity)}),
        'another dim': () => cache.attend(0, {...fresh(1), values: tf.zeros([1, 1, 1, 16])}),
      };
      for (const [name, call] of Object.entries(wrong)) {
        expect(() => tf.tidy(call), name).to.throw(InvalidArgumentError);
      }
      expect(cache.byteSize).to.equal(byteSize);
      expect(cache.tokensSeen(0)).to.equal(3);
      expect(tf.memory().numTensors).to.equal(numTensors);
      cache.dispose();
    });
  });

  it('refuses ranks beyond the heads before anything happens', async () => {
    for (const policy of ['onlineSvd:rank=33', 'layered:longTermRank=33']) {
      expect(() => new KVCache([layerShape(0)], asPolicy(policy))).to.throw(
        InvalidArgumentError,
        /ank = 33.*from 1 to 32/,
      );
      const cache = new KVCache([layerShape(0)]);
      const error: unknown = await cache.setPlan(asPolicy(policy)).catch((caught: unknown) => caught);
      expect(error).to.be.instanceOf(InvalidArgumentError);
      expect(cache.report()[0]!.policy).to.equal('full');
    }
  });

  it('requires a model with cached attention layers, each depth once', () => {
    expect(() => new KVCache({layers: [{}]})).to.throw(InvalidArgumentError, /no attention layer/);
    expect(() => new KVCache([layerShape(0), layerShape(2)])).to.throw(InvalidArgumentError, /0, 2/);
    expect(() => new KVCache([layerShape(0), layerShape(0)])).to.throw(InvalidArgumentError, /0, 0/);
  });

  it('refuses values that are not models, layer shapes or options, which plain JavaScript may pass', () => {
    const noModels: unknown[] = [
      undefined,
      null,
      5,
      'x',
      {},
      [],
      [null],
      {layers: 5},
      [{...layerShape(0), dim: NaN}],
    ];
    for (const given of [...noModels, [{depth: 0}], [{...layerShape(0), heads: 3, kvHeads: 2}]]) {
      expect(() => new KVCache(given as LayerShape[]), JSON.stringify(given)).to.throw(InvalidArgumentError);
    }
    for (const given of [
      {expectedTokens: NaN},
      {expectedTokens: '9'},
      {beyondContext: 1},
      {expected: 9},
      null,
      5,
    ]) {
      const make = () => new KVCache([layerShape(0)], full(), given as KVCacheOptions);
      expect(make, JSON.stringify(given)).to.throw(InvalidArgumentError);
    }
  });
});

function noTokens() {
  const none = (heads: number) => tf.zeros<tf.Rank.R4>([1, heads, 0, 32]);
  return {queries: none(2), keys: none(1), values: none(1)};
}

describe('the registry', () => {
  it('refuses malformed text, and specs with keys that would be dropped', () => {
    for (const given of [
      undefined,
      null,
      5,
      'full',
      quantized,
      [],
      {},
      {name: 5},
      {name: 'full', options: 'x'},
    ]) {
      expect(() => makePolicy(given as Spec)).to.throw(InvalidArgumentError);
    }
    const beside = {name: 'quantized', bits: 4} as Spec; // of 8 bits, if it were taken
    for (const given of [beside, {...beside, options: {sinks: 2}}]) {
      expect(() => makePolicy(given)).to.throw(InvalidArgumentError, /"bits" next to its name/);
    }
  });

  it('reads policies as the command line writes them', () => {
    expect(asPolicy('full').name).to.equal('full');
    expect(asPolicy('quantized:bits=4,residual=64,symmetric=true').options).to.deep.include({
      bits: 4,
      residual: 64,
      symmetric: true,
    });
  });

  const wrong: [string, RegExp][] = [
    ['quantised', /no policy "quantised".*Did you mean "quantized"\?/],
    ['quantized:bit=4', /no option "bit".*Did you mean "bits"\?/],
    ['quantized:bits=7', /bits = 7; expected 8, 6, 5, 4, 3 or 2/],
    ['quantized:groupSize=0', /groupSize = 0; expected a whole number >= 1/],
    ['quantized:residual=-1', /residual = -1; expected a whole number >= 0/],
    ['quantized:residual=NaN', /residual = "NaN"/],
    ['quantized:residual=1.5', /residual = 1.5; expected a whole number/],
    ['quantized:bits', /"bits" in "quantized:bits" is not an option/],
    ['layered:rankOf=keys', /rankOf = "keys" needs longTermBits/],
    ['quantized:symmetric=yes', /symmetric = "yes"; expected true or false/],
    ['__proto__', /no policy/],
  ];
  for (const [text, message] of wrong) {
    it(`refuses ${text}`, () => {
      expect(() => asPolicy(text)).to.throw(InvalidArgumentError, message);
    });
  }

  it("registers a user's policy once", () => {
    const name = 'testKeepAll';
    registerPolicy(name, () => ({...full(), name}));
    expect(policyNames()).to.include(name);
    expect(makePolicy({name}).name).to.equal(name);
    expect(() => registerPolicy(name, full)).to.throw(InvalidArgumentError, /already/);
  });

  it('lists all codecs', () => {
    expect(() => makeCodec({name: 'int8'})).to.throw(InvalidArgumentError, /dense, float8, integer/);
  });
});
