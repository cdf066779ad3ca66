import {type LayerShape, uncompressedNumbers} from '../binding/layer_shape.js';
import {type Past, pastBytes, tokensHeld} from '../past/past.js';

/** Policy, tokens and bytes of one depth of a cache. */
export interface DepthReport {
  readonly depth: number;
  /** The name of its policy. */
  readonly policy: string;
  /** Tokens seen, evicted ones included. */
  readonly tokensSeen: number;
  /** Tokens that each head still holds. */
  readonly tokensHeld: number;
  /** Bytes of all its tensors: codes, scales, positions, spare capacity. */
  readonly byteSize: number;
  /** Bytes of all tokens seen if stored as uncompressed float32. */
  readonly float32Bytes: number;
  /** The part of the values, 0 to 1, that decoding left unread, over all steps; absent if the policy lets it leave out none, or no step could. */
  readonly unreadValues?: number;
}

/** Returns the report of one depth; all numbers are 0 if it has seen no token. */
export function depthReport(shape: LayerShape, policy: string, past: Past | undefined): DepthReport {
  const {depth} = shape;
  if (past === undefined) {
    return {depth, policy, tokensSeen: 0, tokensHeld: 0, byteSize: 0, float32Bytes: 0};
  }
  const {tokensSeen, recent, skipped} = past;
  const batch = recent.keys.data.shape[0];
  return {
    depth,
    policy,
    tokensSeen,
    tokensHeld: tokensHeld(past),
    byteSize: pastBytes(past),
    float32Bytes: batch * shape.kvHeads * uncompressedNumbers(shape) * tokensSeen * 4,
    ...(skipped && skipped.tokens > 0 && {unreadValues: skipped.unread / skipped.tokens}),
  };
}
