import type {Handle} from '../backends/tensorflow_ops.js';
import type {TokenLayout} from './token_kinds.js';

/** The keys or the values of a segment. */
export interface StoredSide {
  readonly data: Handle;
  readonly params: Handle | undefined;
  readonly layout: TokenLayout;
}

/** Tokens that are read at a time. */
export interface Tile {
  readonly from: number;
  readonly count: number;
}

/** The run of tokens that tiles are. */
export function runOf(tiles: readonly Tile[]): Tile {
  const [first, last] = [tiles[0]!, tiles.at(-1)!];
  return {from: first.from, count: last.from + last.count - first.from};
}

/** Numbers of a decoded tile, 8 MB: of 2^18 to 2^22, these took the least time, since an op takes microseconds by itself. */
const numbersOfTile = 2 ** 21;

/**
 * Numbers that a token of all heads makes: floats of its codes, keys of `rebuilt` numbers that are rotated, and scores of `rows` rows. Dense tokens
 * are multiplied where they lie.
 */
export function numbersPerToken(
  heads: number,
  rows: number,
  layouts: readonly TokenLayout[],
  rebuilt = 0,
): number {
  const decoded = layouts.map(({kind, dim}) => (kind === 'dense' ? 0 : dim));
  return heads * Math.max(rows, rebuilt, ...decoded);
}

/**
 * Tokens `from .. tokens`, or a few before `from` as well, in runs of as many tokens, which are decoded at a time: whole groups, if these are not too large.
 * @param perToken see `numbersPerToken`.
 */
export function tilesOf(
  from: number,
  tokens: number,
  perToken: number,
  layouts: readonly TokenLayout[],
): Tile[] {
  const groups = layouts.map(layout =>
    layout.kind === 'integer' && layout.groupAxis === 'channel' ? layout.groupSize : 16,
  );
  const common = groups.reduce((a, b) => (a * b) / greatestDivisor(a, b));
  const most = Math.max(fewestTokens, Math.floor(numbersOfTile / perToken));
  const whole = common > most ? 1 : common;
  const first = from - (from % whole);
  const tiles = Math.ceil((tokens - first) / most);
  const size = Math.ceil((tokens - first) / tiles / whole) * whole;
  return Array.from({length: tiles}, (_, tile) => {
    const begin = first + tile * size;
    return {from: begin, count: Math.min(size, tokens - begin)};
  }).filter(({count}) => count > 0);
}

const fewestTokens = 256;

/** Tiles in runs whose scores fit, of `perToken` numbers of a token. */
export function chunksOf(tiles: readonly Tile[], perToken: number): Tile[][] {
  const perChunk = Math.max(1, Math.floor(numbersOfTile / (perToken * (tiles[0]?.count ?? 1))));
  return Array.from({length: Math.ceil(tiles.length / perChunk)}, (_, chunk) =>
    tiles.slice(chunk * perChunk, (chunk + 1) * perChunk),
  );
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
