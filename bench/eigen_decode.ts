/**
 * Decoding through compressed attention against dense: `npx tsx bench/eigen_decode.ts [TOKENS]` (4,096).
 *
 * One attention layer of SmolLM2's sizes (576; 9 query and 3 key heads of 64) with TOKENS tokens in its cache takes one token at a
 * time; the layers take turns, so that a busy machine is busy for all. Prints the best step of each, projections included.
 */
import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../cache/index.js';
import {type SelfAttentionArgs, attention, eigenAttention} from '../layers/index.js';
import {useBackend} from '../ops/backends/use_backend.js';

const sizes: SelfAttentionArgs = {numHeads: 9, numKvHeads: 3, headDim: 64};
const rope = {theta: 100_000};
const layers: Record<string, () => tf.layers.Layer> = {
  'dense, rotated': () => attention({...sizes, rope}),
  'values 32, keys whole, rotated': () => eigenAttention({...sizes, rope, keyRank: 64, valueRank: 32}),
  'values 16, keys whole, rotated': () => eigenAttention({...sizes, rope, keyRank: 64, valueRank: 16}),
  'keys 32 before rotation, values 32': () => eigenAttention({...sizes, rope, keyRank: 32, valueRank: 32}),
  'keys 16 before rotation, values 32': () => eigenAttention({...sizes, rope, keyRank: 16, valueRank: 32}),
  'keys 32 behind rotation, values 32': () =>
    eigenAttention({...sizes, rope, ropeMode: 'after', keyRank: 32, valueRank: 32}),
  'dense, not rotated': () => attention(sizes),
  'keys 32, values 32, not rotated': () => eigenAttention({...sizes, keyRank: 32, valueRank: 32}),
  'keys 16, values 16, not rotated': () => eigenAttention({...sizes, keyRank: 16, valueRank: 16}),
};
const rounds = 60;
const chunk = 256;

async function main([tokensText = '4096']: string[]) {
  await useBackend('wasm');
  const tokens = Number(tokensText);
  const runs = Object.entries(layers).map(([name, make]) => {
    const layer = make();
    layer.build([null, null, 576]);
    const cache = new KVCache({layers: [layer]}, {name: 'full'}, {expectedTokens: tokens + rounds + 1});
    for (let from = 0; from < tokens; from += chunk) {
      tf.tidy(() => void layer.apply(tf.randomNormal([1, Math.min(chunk, tokens - from), 576]), {cache}));
    }
    return {name, layer, cache, ms: [] as number[]};
  });
  const x = tf.randomNormal([1, 1, 576]);
  for (let round = 0; round < rounds; round++) {
    for (const {layer, cache, ms} of runs) {
      const start = performance.now();
      tf.tidy(() => void layer.apply(x, {cache}));
      ms.push(performance.now() - start);
    }
  }
  console.log(`| layer | MB in the cache | ms per token | against dense |\n|${'---|'.repeat(4)}`);
  const best = (ms: readonly number[]) => Math.min(...ms);
  for (const {name, cache, ms} of runs) {
    const dense = runs.find(
      run => run.name === (name.includes('not') ? 'dense, not rotated' : 'dense, rotated'),
    )!;
    console.log(
      `| ${name} | ${(cache.byteSize / 1e6).toFixed(2)} | ${best(ms).toFixed(3)} | ${(best(dense.ms) / best(ms)).toFixed(2)}x |`,
    );
  }
  x.dispose();
}

await main(process.argv.slice(2));
