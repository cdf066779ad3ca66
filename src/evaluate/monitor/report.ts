import type {DriftSummary} from '../certificate/drift_summary.js';
import type {FeatureRank} from '../ranks/feature_ranks.js';

/** The measurements of one depth, over all texts. */
export interface MonitorRow {
  readonly depth: number;
  /** The depth's policy, as on the command line: `quantized:bits=4`. */
  readonly policy: string;
  /** Bytes of the keys and values of all tokens seen, as float32, at the end of the texts. */
  readonly float32Bytes: number;
  /** Bytes of the cache at the end of the texts: codes, scales, positions, spare capacity. */
  readonly compressedBytes: number;
  /** compressedBytes / float32Bytes: 0.25 is a quarter. */
  readonly ratioToFloat32: number;
  /** Tokens that went through the depth, evicted ones included. */
  readonly tokensSeen: number;
  /** Tokens that each head still held at the end of the text. */
  readonly tokensHeld: number;
  /** Effective rank of the exact keys (before rotation) and of the values, mean over key heads; at most the head's dim. */
  readonly keyRank: number;
  readonly valueRank: number;
  /** Entropies of exact attention, -sum p ln p and -ln sum p^2, in nats: means over queries and heads. */
  readonly entropy: number;
  readonly renyi2Entropy: number;
  /** ||K' - K|| / ||K|| and ||V' - V|| / ||V|| (Frobenius) over the tokens held at the end of the texts. */
  readonly keyError: number;
  readonly valueError: number;
  /** ||o' - o|| / ||o|| of the attention outputs of the same queries over the compressed and the exact past, over all passes. */
  readonly outputError: number;
  /**
   * KL divergence of the next token's probabilities that the model's profile predicts for this depth's policy, nats per token: see `certify`.
   * Absent if there is no profile, or the policy evicts tokens or keeps the newest ones exact.
   */
  readonly predictedKl?: number;
  /** Blocks of tokens that were encoded. */
  readonly blocksEncoded: number;
  /** Updates of low-rank bases (online SVD). */
  readonly svdUpdates: number;
  /** Tokens evicted per head. */
  readonly evictedTokens: number;
  /** The part of the values, 0 to 1, that decoding left unread: see `skipValues`. Absent if no step could leave out any. */
  readonly unreadValues?: number;
}

/**
 * The measurements of all depths together. Bytes and counts are sums, with the bytes that depths share (`KVCache.sharedBytes`). Tokens,
 * ranks and entropies are means. Errors are relative norms over the numbers of all depths.
 */
export type MonitorOverall = Omit<MonitorRow, 'depth' | 'policy'>;

/** The size of the whole cache after a forward pass. */
export interface MonitorMoment {
  /** The index of the text, from 0. */
  readonly text: number;
  /** Tokens of this text so far. */
  readonly tokens: number;
  readonly float32Bytes: number;
  readonly compressedBytes: number;
}

export interface MonitorReport {
  /** The plan as on the command line: `quantized:bits=4`. */
  readonly plan: string;
  /** Tokens measured, all texts together. */
  readonly tokens: number;
  /** Tokens per forward pass. */
  readonly chunk: number;
  readonly rows: readonly MonitorRow[];
  readonly overall: MonitorOverall;
  /** Ranks of the exact keys and values of each head. */
  readonly ranks: readonly FeatureRank[];
  readonly timeline: readonly MonitorMoment[];
  /**
   * How far what the cache stored is from the model's calibration, at the end of the text that is farthest from it. Absent if nothing is
   * stored by a profile.
   */
  readonly drift?: DriftSummary;
}
