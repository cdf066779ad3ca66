import * as tf from '@tensorflow/tfjs';
import {KVCache, transform} from '../../cache/index.js';
import type {TransformProfile} from '../../cache/codecs/transform_profile/index.js';
import {uniformShapes} from '../../cache/binding/layer_shape.js';
import type {LoadedModel} from '../../models/index.js';

/** The least and the most bits that `transform` is measured with. */
export const fewestBits = 0.25;
const mostBits = 8;

/**
 * The bits of `transform` at which a cache takes this share of the float32 bytes of its tokens after steps of these lengths, with exact
 * tokens and spare capacity counted. Less than `fewestBits` if no bits are few enough. The cache is filled with zeros; no model runs.
 */
export function bitsOfSize(
  {config}: LoadedModel,
  profile: TransformProfile,
  {steps, share}: {readonly steps: readonly number[]; readonly share: number},
): number {
  const {depths, heads, kvHeads, headDim, rope} = config;
  const shareOf = (bits: number) => {
    using cache = new KVCache(uniformShapes({depths, heads, kvHeads, headDim}), transform({bits, profile}), {
      expectedTokens: steps.reduce((a, b) => a + b),
    });
    for (const tokens of steps) {
      tf.tidy(() => {
        const zeros = (count: number) => tf.zeros<tf.Rank.R4>([1, count, tokens, headDim]);
        const fresh = {queries: zeros(heads), keys: zeros(kvHeads), values: zeros(kvHeads)};
        for (let depth = 0; depth < depths; depth++) cache.attend(depth, {...fresh, rope});
      });
    }
    const float32 = cache.report().reduce((sum, depth) => sum + depth.float32Bytes, 0);
    return cache.byteSize / float32;
  };
  const [least, most] = [shareOf(fewestBits), shareOf(mostBits)];
  // bytes are proportional to bits, but for whole bytes of a token
  return fewestBits + ((share - least) / (most - least)) * (mostBits - fewestBits);
}

/** Steps of `chunk` tokens, and single ones at the end. */
export function stepsOf(tokens: number, chunk: number, single = 0): number[] {
  const steps: number[] = [];
  for (let left = tokens - single; left > 0; left -= chunk) steps.push(Math.min(chunk, left));
  return [...steps, ...Array.from({length: single}, () => 1)];
}
