import {transform} from '../../cache/index.js';
import type {TransformProfile} from '../../cache/codecs/transform_profile/index.js';
import type {LoadedModel} from '../../models/index.js';
import {cacheBytes} from '../../src/evaluate/index.js';

/** The least and the most bits that `transform` is measured with. */
export const [fewestBits, mostBits] = [0.25, 8];

/**
 * The bits of `transform` at which a cache of `tokens` tokens takes this share of their float32 bytes, with exact tokens and spare
 * capacity counted. Less than `fewestBits` if none is so small.
 */
export function bitsOfSize(
  {config}: LoadedModel,
  profile: TransformProfile,
  {tokens, share}: {readonly tokens: number; readonly share: number},
): number {
  const {depths, kvHeads, headDim} = config;
  const float32 = 2 * 4 * depths * kvHeads * headDim * tokens;
  const shareOf = (bits: number) => cacheBytes(config, transform({bits, profile}), tokens).byteSize / float32;
  const [least, most] = [shareOf(fewestBits), shareOf(mostBits)];
  // bytes grow by the bits, in whole bytes of a token
  return fewestBits + ((share - least) / (most - least)) * (mostBits - fewestBits);
}
