import type {StoredWeight} from '../architectures/parts/architecture.js';

/** Tile of the transposition: two tiles of float32 stay in a first-level cache. */
const tile = 32;

/**
 * Writes the rows of a row-major matrix of `columns` columns into columns of another, `[columns, width]`, tile by tile: row r into
 * column `columnOf[r]`. Rows whose column is not within the width are left out.
 */
export function writeColumns(
  values: Float32Array | Uint16Array,
  columns: number,
  out: Float32Array | Uint16Array,
  width: number,
  columnOf: Int32Array,
): void {
  const rows = columnOf.length;
  for (let rowTile = 0; rowTile < rows; rowTile += tile) {
    const rowEnd = Math.min(rowTile + tile, rows);
    for (let columnTile = 0; columnTile < columns; columnTile += tile) {
      const columnEnd = Math.min(columnTile + tile, columns);
      for (let row = rowTile; row < rowEnd; row++) {
        const to = columnOf[row]!;
        if (to < 0 || to >= width) continue;
        for (let column = columnTile; column < columnEnd; column++) {
          out[column * width + to] = values[row * columns + column]!;
        }
      }
    }
  }
}

/** A row-major matrix `[rows, columns]` transposed. Row r becomes column `columnOf[r]`, or column r without `columnOf`. */
export function transpose(
  values: Float32Array,
  rows: number,
  columns: number,
  columnOf = inOrder(rows),
): Float32Array {
  const out = new Float32Array(values.length);
  writeColumns(values, columns, out, rows, columnOf);
  return out;
}

/** 0, 1, ... */
export function inOrder(count: number): Int32Array {
  return Int32Array.from({length: count}, (_, i) => i);
}

/**
 * Where each output of heads with interleaved pairs goes when the pairs are halves: channel 2i of a head to i, channel
 * 2i + 1 to i + headDim / 2. (llama.cpp's converter does the reverse to the files of the hub.)
 */
export function halvesOfInterleaved(heads: number, outputs: number): Int32Array {
  const headDim = outputs / heads;
  return Int32Array.from({length: outputs}, (_, output) => {
    const channel = output % headDim;
    return output - channel + (channel >> 1) + (channel & 1) * (headDim / 2);
  });
}

/**
 * Where the outputs of a tensor go, which several variables of so many outputs share: into the outputs of all of them, one variable after
 * the other. Undefined if they are in this order.
 */
export function outputOrder(
  {interleavedHeads, headwise}: Pick<StoredWeight, 'interleavedHeads' | 'headwise'>,
  outputs: readonly number[],
): Int32Array | undefined {
  const all = outputs.reduce((sum, count) => sum + count, 0);
  if (interleavedHeads !== undefined) return halvesOfInterleaved(interleavedHeads, all);
  if (headwise === undefined) return undefined;
  const order = new Int32Array(all);
  let at = 0;
  for (let head = 0; head < headwise; head++) {
    let first = 0;
    for (const count of outputs) {
      const ofHead = count / headwise;
      for (let i = 0; i < ofHead; i++) order[at++] = first + head * ofHead + i;
      first += count;
    }
  }
  return order;
}

/** Row `order[i]` of a row-major matrix of `rows` rows, as row i. */
export function selectRows(values: Float32Array, rows: number, order: Int32Array): Float32Array {
  const columns = values.length / rows;
  const out = new Float32Array(values.length);
  order.forEach((row, i) => out.set(values.subarray(row * columns, (row + 1) * columns), i * columns));
  return out;
}

/** Columns `[start, start + count)` of a row-major matrix of `columns` columns. */
export function columnSlice(
  values: Float32Array,
  columns: number,
  start: number,
  count: number,
): Float32Array {
  if (count === columns) return values;
  const rows = values.length / columns;
  const out = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    out.set(values.subarray(row * columns + start, row * columns + start + count), row * count);
  }
  return out;
}

/** Row-major matrices of equally many rows, side by side. */
export function joinColumns(parts: readonly {values: Float32Array; columns: number}[]): Float32Array {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first.values;
  const columns = parts.reduce((sum, part) => sum + part.columns, 0);
  const rows = first === undefined ? 0 : first.values.length / first.columns;
  const out = new Float32Array(rows * columns);
  let start = 0;
  for (const part of parts) {
    for (let row = 0; row < rows; row++) {
      out.set(part.values.subarray(row * part.columns, (row + 1) * part.columns), row * columns + start);
    }
    start += part.columns;
  }
  return out;
}
