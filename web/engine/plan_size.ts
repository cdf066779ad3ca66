import {cacheBytesPerToken, parsePolicy} from '../../src/index.js';
import type {LoadedModel} from '../../models/index.js';
import type {Band} from '../state/bands.js';
import {failureOf} from './failure.js';
import type {Reply} from './protocol.js';

/** Sizes of single depths of one shape, by policy and tokens: dragging an edge asks for the same ones again and again. */
const known = new Map<string, number>();

/** What a plan would store of a prompt and all that is to be written, on caches of zeros; or which band cannot be. */
export function planSize(
  {config, tokenizer}: LoadedModel,
  bands: readonly Band[],
  prompt: string,
  maxTokens: number,
): Reply {
  const tokens = tokenizer.encode(prompt).length + maxTokens;
  const bytes: number[] = [];
  for (const [band, {depths, policy}] of bands.entries()) {
    try {
      const ofDepth = depthBytes(config, policy, tokens);
      bytes.push(...Array<number>(depths).fill(ofDepth));
    } catch (error) {
      return {kind: 'refused', band, failure: failureOf(error)};
    }
  }
  return {
    kind: 'sized',
    size: {tokens, bytes, float32Bytes: tokens * config.kvHeads * config.headDim * 2 * 4},
  };
}

function depthBytes({kvHeads, headDim}: LoadedModel['config'], policy: string, tokens: number): number {
  const key = `${policy} ${tokens} ${kvHeads} ${headDim}`;
  let bytes = known.get(key);
  if (bytes === undefined) {
    bytes = tokens * cacheBytesPerToken({depths: 1, kvHeads, headDim}, parsePolicy(policy), tokens);
    known.set(key, bytes);
  }
  return bytes;
}
