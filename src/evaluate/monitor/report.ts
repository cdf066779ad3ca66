import type {FeatureRank} from '../ranks/feature_ranks.js';

/** What a plan did at one depth, all texts together. */
export interface MonitorRow {
  readonly depth: number;
  /** The depth's policy, as on the command line: `quantized:bits=4`. */
  readonly policy: string;
  /** Of the keys and values of all tokens seen, as float32, at the end of the texts. */
  readonly float32Bytes: number;
  /** All bytes stored then: codes, scales, positions, spare capacity. */
  readonly compressedBytes: number;
  /** compressedBytes / float32Bytes: 0.25 is a quarter. */
  readonly ratioToFloat32: number;
  readonly tokensSeen: number;
  /** Tokens that each head still held at the end of the text. */
  readonly tokensHeld: number;
  /** Effective rank of the exact keys (before rotation) and values, mean over the key heads. At most the head's dim. */
  readonly keyRank: number;
  readonly valueRank: number;
  /** Of exact attention: -sum p ln p and -ln sum p^2, nats, means over queries and heads. */
  readonly entropy: number;
  readonly renyi2Entropy: number;
  /** ||K' - K|| / ||K||, Frobenius, over the tokens held at the end; the same for values. */
  readonly keyError: number;
  readonly valueError: number;
  /** ||o' - o|| / ||o|| of the attention outputs of the same queries over the compressed and the exact past, all passes. */
  readonly outputError: number;
  /** Blocks of tokens that were encoded. */
  readonly blocksEncoded: number;
  /** Updates of low-rank bases (online SVD). */
  readonly svdUpdates: number;
  /** Tokens that each head evicted. */
  readonly evictedTokens: number;
}

/**
 * All depths. Bytes and events are sums, with the bytes that depths share (`KVCache.sharedBytes`). Tokens, ranks and entropies are
 * means. An error is taken over the numbers of all depths together.
 */
export type MonitorOverall = Omit<MonitorRow, 'depth' | 'policy'>;

/** The size of the whole cache after a forward pass. */
export interface MonitorMoment {
  /** Which text, from 0. */
  readonly text: number;
  /** Tokens of it that came in so far. */
  readonly tokens: number;
  readonly float32Bytes: number;
  readonly compressedBytes: number;
}

export interface MonitorReport {
  /** As on the command line: `quantized:bits=4`. */
  readonly plan: string;
  /** Tokens that went through, all texts together. */
  readonly tokens: number;
  /** Tokens per forward pass. */
  readonly chunk: number;
  readonly rows: readonly MonitorRow[];
  readonly overall: MonitorOverall;
  /** Of the exact keys and values, head by head. */
  readonly ranks: readonly FeatureRank[];
  readonly timeline: readonly MonitorMoment[];
}
