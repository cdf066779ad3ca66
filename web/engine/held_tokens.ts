import type {KVCache} from '../../src/index.js';

/**
 * How many key heads of each depth still hold each token of a text: `[depths, tokens]`, row-major. A token that all heads
 * evicted is 0 there. Of a cache with one text (batch 1).
 */
export async function headsHolding(cache: KVCache, depths: number, tokens: number): Promise<Uint8Array> {
  const counts = new Uint8Array(depths * tokens);
  for (let depth = 0; depth < depths; depth++) {
    const past = cache.past(depth);
    if (past === undefined) continue;
    const kvHeads = past.recent.keys.data.shape[1];
    const row = counts.subarray(depth * tokens, (depth + 1) * tokens);
    for (const {positions, tokens: held} of [...Object.values(past.held), past.recent]) {
      if (typeof positions === 'number') {
        for (let token = positions; token < positions + held; token++) row[token]! += kvHeads;
        continue;
      }
      const rows = positions.shape[2];
      const numbers = await positions.data<'float32'>();
      for (let head = 0; head < kvHeads; head++) {
        for (let index = 0; index < held; index++) row[numbers[head * rows + index]!]! += 1;
      }
    }
  }
  return counts;
}
