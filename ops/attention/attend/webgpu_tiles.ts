import {InvalidArgumentError} from '../../../base/errors.js';
import {latentFloats, keyDim, type KeyConstants} from './webgpu_keys.js';

/** How many tokens of keys, and how many rows of queries, a workgroup holds at once; both powers of two. */
export interface Tiles {
  readonly tokens: number;
  readonly rows: number;
}

/**
 * Floats of a tile of tokens and of a tile of queries. With at most 32 x 16 scores as well, a workgroup takes less than the
 * 16 KiB that every device has.
 */
const tokenFloats = 2112;
const queryFloats = 1024;

/** Tiles for keys and values of these dims (`dimV` 0: no values) and `rows` rows of queries. */
export function tilesFor(keys: KeyConstants, dimV: number, rows: number): Tiles {
  const dim = keyDim(keys);
  const largest = Math.max(dim, dimV);
  if (largest > queryFloats) {
    throw new InvalidArgumentError(
      `A head of dim ${largest} is too wide for the webgpu backend: it takes up to ${queryFloats} channels. Use 'wasm'.`,
    );
  }
  const floatsOfToken = Math.max(dim | 1, dimV) / (keys.halves ? 2 : 1) + latentFloats(keys);
  return {
    tokens: Math.min(32, powerBelow(tokenFloats / floatsOfToken)),
    rows: Math.min(16, powerBelow(queryFloats / dim), powerFrom(rows)),
  };
}

const powerBelow = (x: number): number => 2 ** Math.floor(Math.log2(x));
const powerFrom = (x: number): number => 2 ** Math.ceil(Math.log2(x));
