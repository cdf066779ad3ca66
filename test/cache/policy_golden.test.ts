import {keeperNames} from '../../cache/keepers/as_keeper.js';
import {makePolicy} from '../../cache/policies/as_policy.js';
import type {Options} from '../../base/options.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {type Past, type Segment, segmentsOf} from '../../cache/past/past.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {readGolden} from '../support/golden.js';
import {expectClose} from '../support/tensors.js';
import {type GoldenText, goldenMetric, goldenShape, goldenText} from './golden_text.js';
import {shipped, shippedPolicies, variantName} from './variants.js';

/** One run of a text through a policy: see test/golden/cache. */
interface PolicyGolden {
  readonly name: string;
  readonly options: Options;
  readonly theta: number | null;
  readonly seed: number;
  /** The seed of the layer's output projection; absent if it has none. */
  readonly projection?: number;
  readonly chunks: readonly number[];
  /** By segment, for each head: the positions of the tokens there. */
  readonly held: Readonly<Record<string, number[][]>>;
  /** `[batch, heads, tokens]`: each output's numbers added up with signs. */
  readonly sums: number[];
  /** `[batch, heads, dim]`: the output of the last token. */
  readonly last: number[];
  /** What folding threw away: the squared error of each head. */
  readonly discarded?: {readonly key: number[]; readonly value: number[]};
}

const files = ['precision', 'eviction', 'keepers', 'low_rank'].map(
  name => readGolden(`cache/${name}.json`) as {signs: number[]; cases: PolicyGolden[]},
);
const signs = files[0]!.signs;
const cases = files.flatMap(file => file.cases);
const {batch, heads, kvHeads, dim} = goldenShape;
// all lie within 1e-5; a single code that differs by one shows from some 1e-4 on
const tolerance = 2e-5;

describe('golden values of policies', () => {
  it('exist for every policy', () => {
    // transform and mixed need a model's profile: tests in test/models/compress run their texts
    const models = ['transform/models.json', 'transform/mixed.json'].flatMap(
      file => (readGolden(file) as {cases: {name: string}[]}).cases,
    );
    const tested = new Set([...cases, ...models].map(({name}) => name));
    expect(shippedPolicies().filter(name => !tested.has(name))).to.deep.equal([]);
    const keepers = new Set(cases.map(({name, options}) => makePolicy({name, options}).keep.name));
    expect(shipped(keeperNames()).filter(name => !keepers.has(name))).to.deep.equal([]);
  });
});

// tfjs passes int32 through float32 on the others
const exact = testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl');

describeOnBackends(
  'policies as NumPy has them',
  () => {
    for (const golden of cases) {
      const {name, options, theta, seed, projection, chunks, held, sums, last, discarded} = golden;
      it(`${variantName(golden)}, ${theta === null ? 'no rotation' : `theta ${theta}`}`, async () => {
        const tokens = chunks.reduce((a, b) => a + b, 0);
        const {numTensors} = tf.memory();
        const text = goldenText(seed, tokens);
        const metric = projection === undefined ? undefined : goldenMetric(projection);
        const cache = new KVCache(
          [{depth: 0, heads, kvHeads, dim, dimV: dim}],
          makePolicy({name, options: withoutSinks(name, options)}),
        );
        const output = tf.tidy(() => {
          const rope = theta === null ? {} : {rope: {theta}};
          const layer = metric && {outputMetric: () => metric};
          let from = 0;
          const outputs = chunks.map(count => {
            const part = cache.attend(0, {...cut(text, from, count), ...rope, ...(layer && {layer})});
            from += count;
            return part;
          });
          return tf.concat(outputs, 2);
        });
        const actual = tf.tidy(() => ({
          sums: tf.sum(tf.mul(output, tf.tensor1d(signs)), 3),
          last: tf.slice(output, [0, 0, tokens - 1, 0], [-1, -1, 1, -1]),
        }));
        expect(heldOf(cache.past(0)!)).to.deep.equal(renamed(held));
        await expectClose(actual.sums, sums, tolerance, 'outputs');
        await expectClose(actual.last, last, tolerance, 'the last output');
        if (discarded !== undefined) {
          const {keyDiscarded, valueDiscarded} = cache.past(0)!.extras!;
          await expectClose(keyDiscarded!, discarded.key, tolerance, 'discarded of keys');
          await expectClose(valueDiscarded!, discarded.value, tolerance, 'discarded of values');
        }
        cache.dispose();
        tf.dispose([text, output, actual, ...(metric ? [metric] : [])]);
        expect(tf.memory().numTensors, 'tensors left behind').to.equal(numTensors);
      });
    }
  },
  exact,
);

function cut(text: GoldenText, from: number, tokens: number): GoldenText {
  const side = (x: tf.Tensor4D) => tf.slice(x, [0, 0, from, 0], [-1, -1, tokens, -1]);
  return {queries: side(text.queries), keys: side(text.keys), values: side(text.values)};
}

/** These goldens are of policies that kept no first tokens exact by default. */
const hadNoSinks = new Set(['quantized', 'float8', 'onlineSvd', 'lru', 'lfu', 'adaptive']);

function withoutSinks(name: string, options: Options): Options {
  return hadNoSinks.has(name) ? {sinks: 0, ...options} : options;
}

/** What goldens call the segment of stored tokens. */
const storedNames = new Set(['old', 'heavy']);

const renamed = (held: PolicyGolden['held']) =>
  Object.fromEntries(
    Object.entries(held).map(([name, heads]) => [storedNames.has(name) ? 'stored' : name, heads]),
  );

/** The positions of each head, in order, by the names of the segments that hold any. */
function heldOf(past: Past): Record<string, number[][]> {
  const named = [...Object.entries(past.held), ['recent', past.recent] as const];
  const filled = new Set<Segment>(segmentsOf(past));
  return Object.fromEntries(
    named.filter(([, segment]) => filled.has(segment)).map(([name, segment]) => [name, positionsOf(segment)]),
  );
}

function positionsOf({positions, tokens}: Segment): number[][] {
  return Array.from({length: batch * kvHeads}, (_, head) => {
    if (typeof positions === 'number') return Array.from({length: tokens}, (_, i) => positions + i);
    const rows = positions.shape[2];
    return [...positions.dataSync().slice(head * rows, head * rows + tokens)].sort((a, b) => a - b);
  });
}
