import {asPolicy} from '../../cache/index.js';
import {cacheBytes} from '../../src/evaluate/index.js';
import type {LoadedModel} from '../../src/index.js';
import type {Band} from '../state/bands.js';
import {failureOf} from './failure.js';
import type {Reply} from './protocol.js';

/** Sizes of single depths of one shape, by policy and tokens: dragging an edge asks for the same ones again and again. */
const known = new Map<string, DepthBytes>();

type DepthBytes = ReturnType<typeof cacheBytes>;

/** What a plan would store of a prompt and all that is to be written, on caches of zeros; or which band cannot be. */
export function planSize(
  {config, tokenizer}: LoadedModel,
  bands: readonly Band[],
  prompt: string,
  newTokens: number,
): Reply {
  const tokens = tokenizer.encode(prompt).length + newTokens;
  const bytes: number[] = [];
  let sharedBytes = 0;
  for (const [band, {depths, policy}] of bands.entries()) {
    try {
      const ofDepth = depthBytes(config, policy, tokens);
      bytes.push(...Array<number>(depths).fill(ofDepth.byteSize - ofDepth.sharedBytes));
      if (depths > 0) sharedBytes = Math.max(sharedBytes, ofDepth.sharedBytes); // one table serves all depths
    } catch (error) {
      return {kind: 'refused', band, failure: failureOf(error)};
    }
  }
  return {
    kind: 'sized',
    size: {tokens, bytes, sharedBytes, float32Bytes: tokens * config.kvHeads * config.headDim * 2 * 4},
  };
}

function depthBytes(
  {kvHeads, headDim, rope}: LoadedModel['config'],
  policy: string,
  tokens: number,
): DepthBytes {
  const key = JSON.stringify([policy, tokens, kvHeads, headDim, rope]);
  let bytes = known.get(key);
  if (bytes === undefined) {
    bytes = cacheBytes({depths: 1, kvHeads, headDim, rope}, asPolicy(policy), tokens);
    known.set(key, bytes);
  }
  return bytes;
}
