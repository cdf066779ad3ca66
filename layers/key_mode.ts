/** Whether keys are compressed before they are rotated, or after. */
export type RopeMode = 'before' | 'after';

/**
 * How compressed attention treats its keys:
 *
 * - `merged`: there is no rotation. Both bases are merged into the query and key projections.
 * - `before`: unrotated latents are stored. Attention rebuilds the keys with `key_basis`, then rotates them.
 * - `after`: queries and keys are rotated, then projected by `query_encoder` and `key_encoder`.
 * - `whole`: keys are rotated and keep all their numbers; they are stored as in plain attention.
 */
export type KeyMode = 'merged' | 'whole' | RopeMode;

export interface KeyModeOptions {
  readonly rotates: boolean;
  readonly ropeMode: RopeMode;
  readonly headDim: number;
  /** Numbers stored per key; one rank per key head, or one rank for all. */
  readonly keyRanks: readonly number[];
}

export function keyModeOf({rotates, ropeMode, headDim, keyRanks}: KeyModeOptions): KeyMode {
  if (!rotates) return 'merged';
  return keyRanks.every(rank => rank === headDim) ? 'whole' : ropeMode;
}

/** Numbers per head that the query and key projections give. */
export function projectedSizes(
  mode: KeyMode,
  {headDim, keyRank}: {readonly headDim: number; readonly keyRank: number},
): {query: number; key: number} {
  return {
    query: mode === 'merged' ? keyRank : headDim,
    key: mode === 'merged' || mode === 'before' ? keyRank : headDim,
  };
}

/** The weights `[kvHeads, keyRank, headDim]` that a layer has beside its projections. */
export const basisNames: Readonly<Record<KeyMode, readonly string[]>> = {
  merged: [],
  whole: [],
  before: ['key_basis'],
  after: ['key_encoder', 'query_encoder'],
};
