import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import {makePolicy} from '../../cache/registry.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {testBackends} from '../support/backends.js';
import {expectClose} from '../support/tensors.js';
import {policyVariants, variantName} from './variants.js';

const row = {depth: 0, heads: 6, kvHeads: 2, dim: 16, dimV: 16};
const tokens = 48;
/** Tokens come one at a time; a change falls into blocks, buffers with room, and moves. */
const changes = [23, 31, 40];

const make = (heads: number, seed: number) =>
  tf.randomNormal<tf.Rank.R4>([1, heads, tokens, 16], 0, 1, 'float32', seed);
const cut = (x: tf.Tensor4D, at: number) => tf.slice(x, [0, 0, at, 0], [-1, -1, 1, -1]);

const pairs = testBackends.flatMap(from =>
  testBackends.filter(to => to !== from).map(to => [from, to] as const),
);

for (const [from, to] of pairs) {
  describe(`A live cache on ${from} when the backend becomes ${to}`, () => {
    let former: string | undefined;
    before(() => void (former = tf.getBackend()));
    after(() => tf.setBackend(former ?? 'cpu'));

    for (const variant of policyVariants) {
      it(`${variantName(variant)}: goes on as if nothing had changed`, async () => {
        const run = async (moves: readonly number[]) => {
          await useBackend(from);
          const text = {queries: make(6, 1), keys: make(2, 2), values: make(2, 3)};
          const cache = new KVCache([row], makePolicy(variant));
          const outputs: Float32Array[] = [];
          for (let at = 0; at < tokens; at++) {
            if (moves.includes(at)) await useBackend(tf.getBackend() === from ? to : from);
            const output = tf.tidy(() =>
              cache.attend(0, {
                queries: cut(text.queries, at),
                keys: cut(text.keys, at),
                values: cut(text.values, at),
                rope: {theta: 100},
              }),
            );
            outputs.push(await output.data<'float32'>());
            output.dispose();
          }
          cache.dispose();
          tf.dispose(text);
          return outputs;
        };
        const stayed = await run([]);
        const changed = await run(changes);
        for (const [at, output] of changed.entries())
          await expectClose(output, stayed[at]!, 2e-4, `token ${at}`);
      });
    }
  });
}
