import {type LayerShape, uncompressedNumbers} from '../binding/layer_shape.js';
import {type Past, pastBytes, tokensHeld} from '../past/past.js';

/** How one depth of a cache stands. */
export interface DepthReport {
  readonly depth: number;
  readonly policy: string;
  /** Tokens that came in. */
  readonly tokensSeen: number;
  /** Tokens that each head still holds. */
  readonly tokensHeld: number;
  /** True bytes: codes, scales, positions, spare room. */
  readonly byteSize: number;
  /** What all tokens seen would take as float32. */
  readonly float32Bytes: number;
}

/** Of a depth into which no token came, all numbers are 0. */
export function depthReport(row: LayerShape, policy: string, past: Past | undefined): DepthReport {
  const {depth} = row;
  if (past === undefined) {
    return {depth, policy, tokensSeen: 0, tokensHeld: 0, byteSize: 0, float32Bytes: 0};
  }
  const {tokensSeen, recent} = past;
  const batch = recent.keys.data.shape[0];
  return {
    depth,
    policy,
    tokensSeen,
    tokensHeld: tokensHeld(past),
    byteSize: pastBytes(past),
    float32Bytes: batch * row.kvHeads * uncompressedNumbers(row) * tokensSeen * 4,
  };
}
