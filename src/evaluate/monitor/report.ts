import type {FeatureRank} from '../ranks/feature_ranks.js';

/** What compression did at one depth, all texts together. */
export interface MonitorRow {
  readonly depth: number;
  /** The depth's policy, as on the command line: `quantized:bits=4`. */
  readonly policy: string;
  /** Of all tokens seen, keys and values as float32, at the end of the texts. */
  readonly float32Bytes: number;
  /** True bytes stored then: codes, scales, positions, spare room. */
  readonly compressedBytes: number;
  /** compressedBytes / float32Bytes: 0.25 is a quarter. */
  readonly ratioToFloat32: number;
  readonly tokensSeen: number;
  /** Tokens that each head still held at the end of its text. */
  readonly tokensHeld: number;
  /** Effective rank of the exact keys (not rotated) and values, mean over the key heads. At most the head's dim. */
  readonly keyRank: number;
  readonly valueRank: number;
  /** Of the exact attention: -sum p ln p and -ln sum p^2, nats, means over queries and heads. */
  readonly entropy: number;
  readonly renyi2Entropy: number;
  /** ||K' - K|| / ||K||, Frobenius, over the tokens held at the end; the same for values. */
  readonly keyError: number;
  readonly valueError: number;
  /** ||o' - o|| / ||o|| of the attention output over the compressed and the exact past, same queries, all steps. */
  readonly outputError: number;
  readonly seals: number;
  readonly folds: number;
  /** Tokens that each head gave up. */
  readonly evictedTokens: number;
}

/** All depths: bytes and events added up, and the bytes that depths share (`KVCache.sharedBytes`); ranks and entropies averaged, errors over all numbers of all depths together. */
export type MonitorOverall = Omit<MonitorRow, 'depth'>;

/** The size of the whole cache after a step. */
export interface MonitorMoment {
  /** Which text, from 0. */
  readonly text: number;
  /** Tokens of it that came in so far. */
  readonly tokens: number;
  readonly float32Bytes: number;
  readonly compressedBytes: number;
}

export interface MonitorReport {
  readonly rows: readonly MonitorRow[];
  readonly overall: MonitorOverall;
  /** Of the exact keys and values, head by head. */
  readonly ranks: readonly FeatureRank[];
  readonly timeline: readonly MonitorMoment[];
}
