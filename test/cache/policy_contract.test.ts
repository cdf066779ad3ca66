import type {DepthReport} from '../../cache/watch/depth_report.js';
import {refits} from '../../cache/past/query_window.js';
import {asPlan} from '../../cache/plans/as_plan.js';
import {makePolicy, tokenBudget} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {type Past, segmentsOf, tensorsOfPast, tokensHeld} from '../../cache/past/past.js';
import {uniform} from '../../cache/plans/index.js';
import {CacheStateError} from '../../base/errors.js';
import {causalAttention} from '../../ops/attention/causal/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {hostPositions, rotateAt} from '../../cache/past/decode.js';
import {RopeTables} from '../../cache/past/rope_tables.js';
import {rotate} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import {describeOnBackends} from '../support/backends.js';
import {expectSameBytes} from '../support/same_bytes.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';
import {policyVariants, shippedPolicies, throughJson, variantName} from './variants.js';

describe('the policy registry', () => {
  it('has every policy in this contract test', () => {
    const tested = new Set(policyVariants.map(({name}) => name));
    expect(shippedPolicies().filter(name => !tested.has(name))).to.deep.equal([]);
  });
});

const shape = {batch: 2, heads: 6, kvHeads: 2, dim: 16, tokens: 40};
const rope = {theta: 100};

/** Queries, keys and values of a text; random, so that no compression is easy. */
function randomText(tokens = shape.tokens) {
  const {batch, heads, kvHeads, dim} = shape;
  return {
    queries: tf.randomNormal<tf.Rank.R4>([batch, heads, tokens, dim], 0, 1, 'float32', 1),
    keys: tf.randomNormal<tf.Rank.R4>([batch, kvHeads, tokens, dim], 0, 1, 'float32', 2),
    values: tf.randomNormal<tf.Rank.R4>([batch, kvHeads, tokens, dim], 0, 1, 'float32', 3),
  };
}

type Text = ReturnType<typeof randomText>;

function part(text: Text, from: number, tokens: number): Text {
  const cut = (x: tf.Tensor4D) => tf.slice(x, [0, 0, from, 0], [-1, -1, tokens, -1]);
  return {queries: cut(text.queries), keys: cut(text.keys), values: cut(text.values)};
}

/** One text of the batch. */
function oneOf(text: Text, which: number): Text {
  const cut = (x: tf.Tensor4D) => tf.slice(x, [which, 0, 0, 0], [1, -1, -1, -1]);
  return {queries: cut(text.queries), keys: cut(text.keys), values: cut(text.values)};
}

/** The text through depth 0 of a cache in chunks; the outputs joined. */
function run(cache: KVCache, text: Text, chunks: readonly number[]): tf.Tensor4D {
  return tf.tidy(() => {
    let from = 0;
    const outputs = chunks.map(tokens => {
      const output = cache.attend(0, {...part(text, from, tokens), rope});
      from += tokens;
      return output;
    });
    return tf.concat(outputs, 2);
  });
}

/** The same, looking at the cache after each chunk, with the number of tokens that came: numbers that come late have time to come. */
async function runLooking(
  cache: KVCache,
  text: Text,
  chunks: readonly number[],
  look: (tokens: number) => Promise<void>,
): Promise<tf.Tensor4D> {
  let from = 0;
  const outputs: tf.Tensor4D[] = [];
  for (const tokens of chunks) {
    outputs.push(tf.tidy(() => cache.attend(0, {...part(text, from, tokens), rope})));
    from += tokens;
    await look(from);
  }
  const joined = tf.concat(outputs, 2);
  tf.dispose(outputs);
  return joined;
}

function exactOutput(text: Text): tf.Tensor4D {
  return tf.tidy(() => {
    const rotation = rotationFor(rope, shape.dim, 0, text.keys.shape[2]);
    const scale = 1 / Math.sqrt(shape.dim);
    return causalAttention(rotate(text.queries, rotation), rotate(text.keys, rotation), text.values, {scale});
  });
}

const layerShape = {depth: 0, heads: shape.heads, kvHeads: shape.kvHeads, dim: shape.dim, dimV: shape.dim};

const newCache = (policy: ReturnType<typeof makePolicy>) => new KVCache([layerShape], policy);

/** Tokens for which buffers may have room beyond a short text's: 4 where one grows, and 16 where as many moved out of another. */
const spareTokens = 20;

const ones = Array.from({length: shape.tokens}, () => 1);

for (const variant of policyVariants) {
  describeOnBackends(`policy ${variantName(variant)}`, () => {
    const policy = makePolicy(variant);
    let text: Text;
    let exact: tf.Tensor4D;
    before(() => {
      text = randomText();
      exact = exactOutput(text);
    });
    after(() => tf.dispose([text, exact]));

    /** Largest difference from plain attention, relative to the largest output. */
    async function errorOf(output: tf.Tensor4D, from = 0): Promise<number> {
      const error = tf.tidy(() => {
        const expected = tf.slice(exact, [0, 0, from, 0]);
        return tf.div(tf.max(tf.abs(tf.sub(output, expected))), tf.max(tf.abs(exact)));
      });
      const [number] = await error.data();
      error.dispose();
      return number!;
    }

    it('attends exactly within the first step; compression follows it', async () => {
      const cache = newCache(policy);
      const output = run(cache, text, [shape.tokens]);
      expect(await errorOf(output)).to.be.below(1e-5);
      output.dispose();
      cache.dispose();
    });

    for (const [name, chunks] of Object.entries({
      'token by token': ones,
      'prefill, then tokens': [25, ...ones.slice(25)],
      'uneven chunks': [3, 1, 17, 2, 9, 8],
    })) {
      it(`${name}: stays within its error bound, its positions and its budget`, async () => {
        const cache = newCache(policy);
        const output = await runLooking(cache, text, chunks, async tokens => {
          const past = cache.past(0)!;
          expect(past.tokensSeen).to.equal(tokens);
          await checkPositions(past, tokens, tokenBudget(policy));
        });
        expect(await errorOf(output)).to.be.at.most(variant.outputError);
        if (variant.keyError !== undefined) await checkKeys(cache.past(0)!, text, variant.keyError);
        output.dispose();
        cache.dispose();
      });
    }

    it('counts all the bytes that it keeps in memory', () => {
      const before = tf.memory().numBytes;
      const cache = newCache(policy);
      run(cache, text, [33, 7]).dispose();
      expect(cache.byteSize).to.equal(tf.memory().numBytes - before);
      const held = new Set(tensorsOfPast(cache.past(0)!));
      expect(cache.report()[0]!.byteSize).to.equal([...held].reduce((sum, {size}) => sum + size * 4, 0));
      cache.dispose();
    });

    it('needs no more than float32 for a short text, except for a few spare tokens', () => {
      const cache = newCache(policy);
      for (const [at] of ones.entries()) {
        tf.tidy(() => void cache.attend(0, {...part(text, at, 1), rope}));
        const [{byteSize, float32Bytes}] = cache.report() as [DepthReport];
        const ofToken = float32Bytes / (at + 1);
        // positions and scores of the tokens that a head keeps are 2 numbers of 32 here, biases a third
        const ownNumbers = refits(policy.keep) ? 3 : 2;
        const queries = cache.past(0)!.queries?.data.size ?? 0;
        expect(byteSize - 4 * queries, `${at + 1} tokens`).to.be.at.most(
          float32Bytes * (1 + ownNumbers / 32) + spareTokens * ofToken,
        );
      }
      cache.dispose();
    });

    it('gives a text the same result in a batch as alone', async () => {
      const texts = tf.tidy(() => [0, 1].map(which => oneOf(text, which)));
      const [batch, alone] = [newCache(policy), texts.map(() => newCache(policy))];
      for (const [at, tokens] of [[0, 9], ...ones.slice(9).map((_, i) => [9 + i, 1] as const)] as const) {
        const [together, ...each] = tf.tidy(() => [
          batch.attend(0, {...part(text, at, tokens), rope}),
          tf.concat(alone.map((cache, which) => cache.attend(0, {...part(texts[which]!, at, tokens), rope}))),
        ]);
        await expectClose(together, each[0], 2e-5, `token ${at}`);
        tf.dispose([together, ...each]);
      }
      tf.dispose(texts);
      for (const cache of [batch, ...alone]) cache.dispose();
    });

    it('continues after save and restore as if it had never stopped', async () => {
      for (const at of [2, 19, 37]) {
        const cache = newCache(policy);
        run(cache, text, [at]).dispose();
        const restored = await KVCache.restore(await cache.save(), [layerShape]);
        expect(restored.report()[0]!.tokensHeld).to.equal(cache.report()[0]!.tokensHeld);
        const rest = part(text, at, shape.tokens - at);
        const chunks = [1, 1, shape.tokens - at - 2];
        const [expected, actual] = [run(cache, rest, chunks), run(restored, rest, chunks)];
        await expectClose(actual, expected, 0, `after ${at} tokens`);
        expectSameBytes(await restored.save(), await cache.save());
        tf.dispose([rest, expected, actual]);
        cache.dispose();
        restored.dispose();
      }
    });

    it('continues independently in both branches of a fork', async () => {
      const turned = tf.tidy(() => ({
        queries: tf.reverse(text.queries, 2),
        keys: tf.reverse(text.keys, 2),
        values: tf.reverse(text.values, 2),
      }));
      const begun = () => {
        const cache = newCache(policy);
        run(cache, text, [22]).dispose();
        return cache;
      };
      const goOn = (cache: KVCache, way: Text, at: number) =>
        tf.tidy(() => void run(cache, part(way, at, 1), [1]));
      const cache = begun();
      const {numBytes} = tf.memory();
      const fork = cache.fork();
      expect(tf.memory().numBytes, 'a fork copies nothing').to.equal(numBytes);
      for (let at = 22; at < 34; at++) {
        goOn(cache, text, at);
        goOn(fork, turned, at);
      }
      for (const [used, way] of new Map([
        [cache, text],
        [fork, turned],
      ])) {
        const alone = begun();
        for (let at = 22; at < 34; at++) goOn(alone, way, at);
        expectSameBytes(await used.save(), await alone.save());
        alone.dispose();
      }
      tf.dispose(turned);
      cache.dispose();
      fork.dispose();
    });

    const cuts = {'of the newest': [40, 36], 'of a long text': [40, 21], 'of a short text': [15, 9]} as const;
    for (const [name, [all, kept]] of Object.entries(cuts)) {
      it(`truncates tokens ${name}, or says why not`, async () => {
        const cache = newCache(policy);
        run(cache, text, [all - 7, 4, 1, 1, 1]).dispose();
        const past = cache.past(0)!;
        const lost = past.tokensSeen > tokensHeld(past);
        const folded = past.extras !== undefined && kept < past.recent.positions;
        const before = await cache.save();
        const error = await cache.truncate(kept).catch((caught: unknown) => caught);
        if (lost || folded) {
          expect(error).to.be.instanceOf(CacheStateError).with.property('message').that.includes(policy.name);
          expectSameBytes(await cache.save(), before, 'as before');
        } else {
          expect(error).to.equal(undefined);
          expect(cache.tokens).to.equal(kept);
          await checkPositions(cache.past(0)!, kept, tokenBudget(policy));
          if (variant.keyError !== undefined) await checkKeys(cache.past(0)!, text, variant.keyError);
          // what was cut out and encoded once more has the error twice
          const rest = part(text, kept, shape.tokens - kept);
          const output = run(cache, rest, [1, 1, 1, shape.tokens - kept - 3]);
          expect(await errorOf(output, kept)).to.be.at.most(2 * variant.outputError);
          tf.dispose([rest, output]);
        }
        cache.dispose();
      });
    }

    it('survives JSON, alone and in a plan', () => {
      const again = makePolicy(throughJson({name: policy.name, options: policy.options}));
      expect(again.options).to.deep.equal(policy.options);
      const plan = asPlan(throughJson(uniform(policy).toJSON()));
      expect(plan.policyFor(0, 1).options).to.deep.equal(policy.options);
    });

    it('leaks no tensor and leaves its input unchanged', async () => {
      const before = await text.keys.data();
      await expectNoLeak(async () => {
        const cache = newCache(policy);
        run(cache, text, [20, ...ones.slice(30), 10]).dispose();
        cache.reset();
        run(cache, text, [30, 10]).dispose();
        const fork = cache.fork();
        cache.dispose();
        const restored = await KVCache.restore(await fork.save(), [layerShape]);
        await fork.truncate(30).catch(() => undefined);
        for (const used of [fork, restored]) {
          run(used, text, [1]).dispose();
          used.dispose();
        }
      });
      await expectClose(text.keys, before, 0);
    });
  });
}

/** Each head's positions are distinct, ascending where the policy keeps order, and of tokens that came in. */
async function checkPositions(past: Past, seen: number, budget = Infinity): Promise<void> {
  const perHead = await positionsByHead(past);
  for (const positions of perHead) {
    expect(positions.length).to.be.at.most(budget);
    expect(new Set(positions).size, 'each token once').to.equal(positions.length);
    expect(Math.min(...positions)).to.be.at.least(0);
    expect(Math.max(...positions), 'the newest token stays').to.equal(seen - 1);
  }
}

async function positionsByHead(past: Past): Promise<number[][]> {
  const bySegment = await Promise.all(segmentsOf(past).map(hostPositions));
  return Array.from({length: shape.batch * shape.kvHeads}, (_, head) =>
    bySegment.flatMap(rows => Array.from(rows[head] ?? rows[0]!)),
  );
}

/** Every stored key is the key that came in at its position, rotated by that position. */
async function checkKeys(past: Past, text: Text, tolerance: number): Promise<void> {
  const [came, stored] = tf.tidy(() => {
    const held = segmentsOf(past).map(({keys, tokens, positions}) => {
      const decoded = decodeEncoding(keys, 0, tokens);
      if (keys.kind !== 'lowRank' || keys.rotate !== true) return decoded;
      if (typeof positions === 'number')
        return rotate(decoded, rotationFor(rope, shape.dim, positions, tokens));
      return rotateAt(decoded, tf.slice(positions, [0, 0, 0, 0], [-1, -1, tokens, -1]), {
        rope: new RopeTables(rope, shape.dim),
        tokensSeen: shape.tokens,
      });
    });
    return [rotate(text.keys, rotationFor(rope, shape.dim, 0, shape.tokens)), tf.concat(held, 2)];
  });
  const [cameNumbers, numbers] = await Promise.all([came.data(), stored.data()]);
  tf.dispose([came, stored]);
  let at = 0;
  for (const [head, positions] of (await positionsByHead(past)).entries()) {
    for (const position of positions) {
      let worst = 0;
      for (let channel = 0; channel < shape.dim; channel++, at++) {
        const number = cameNumbers[(head * shape.tokens + position) * shape.dim + channel]!;
        worst = Math.max(worst, Math.abs(numbers[at]! - number));
      }
      expect(worst, `head ${head}, position ${position}`).to.be.at.most(tolerance);
    }
  }
}
