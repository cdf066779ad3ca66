import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {planesOf, wordsOfPlane, type IntegerLayout} from './integer_layout.js';
import type {StoredSide, Tile} from './tiles_tensorflow.js';

// Integer codes as floats where they lie in their bytes: for each place of a byte one tensor, which holds the codes of that place times a power of two. Of a
// byte with several codes, all but the uppermost are masked; the byte itself stands for the uppermost one, since it is the sum of all at their places.

export type IntegerSide = StoredSide & {readonly layout: IntegerLayout};

/** Its words as float32, which TensorFlow can cut on a GPU. */
export const viewed = (ops: TensorflowOps, side: IntegerSide): IntegerSide => ({
  ...side,
  data: ops.bitcast(side.data, 'float32'),
});

/** The codes of a tile as floats, `[...shape, bytes of a plane]`: plane after plane, each place of a byte masked, but the last one with all. */
export function codesOf(
  ops: TensorflowOps,
  {data, layout}: IntegerSide,
  tile: Tile,
  shape: readonly number[],
): Handle[] {
  const words = ops.part(data, 2, tile.from, tile.count); // a float32 view: see `viewed`
  const bytes = ops.reshape(ops.bitcast(words, 'uint8'), [...shape, 4 * words.shape[3]!]);
  let first = 0;
  return planesOf(layout.bits).flatMap(plane => {
    const count = 4 * wordsOfPlane(layout.dim, plane.bits);
    const own = ops.part(bytes, -1, first, count);
    first += count;
    return Array.from({length: 8 / plane.bits}, (_, place) => {
      const isLast = place === 8 / plane.bits - 1;
      const mask = (2 ** plane.bits - 1) << (place * plane.bits);
      return ops.cast(isLast ? own : ops.and(own, mask), 'float32');
    });
  });
}

/** What codes have to be multiplied by, as `codesOf` gives them, so that the sum is that of `[..., dim]` times all codes. */
export function factorsOf(ops: TensorflowOps, x: Handle, {dim, bits}: IntegerLayout): Handle[] {
  const rows = x.shape.slice(0, -1);
  return planesOf(bits).flatMap(plane => {
    const [bytes, perByte] = [4 * wordsOfPlane(dim, plane.bits), 8 / plane.bits];
    const padded = ops.padRows(x, bytes * perByte);
    if (perByte === 1) return [plane.shift === 0 ? padded : ops.mul(padded, 2 ** plane.shift)];
    const split = ops.reshape(padded, [...rows, bytes, perByte]);
    const places = Array.from({length: perByte}, (_, place) => {
      const own = ops.reshape(ops.part(split, -1, place, 1), [...rows, bytes]);
      return ops.mul(own, 2 ** (plane.shift - place * plane.bits));
    });
    const last = places.at(-1)!;
    return places.map((own, place) => (place === perByte - 1 ? last : ops.sub(own, last)));
  });
}

/** Sums with codes as `codesOf` gives them, `[..., bytes of a plane]`, as the sums with all channels, `[..., dim]`. */
export function inOrder(ops: TensorflowOps, sums: readonly Handle[], {dim, bits}: IntegerLayout): Handle {
  let first = 0;
  const planes = planesOf(bits).map(plane => {
    const own = sums.slice(first, (first += 8 / plane.bits));
    const masked = own.slice(0, -1);
    const last = masked.reduce((rest, place) => ops.sub(rest, place), own.at(-1)!);
    const places = [...masked, last].map((place, i) => {
      const factor = 2 ** (plane.shift - i * plane.bits);
      return factor === 1 ? place : ops.mul(place, factor);
    });
    const [only] = places as [Handle];
    if (places.length === 1) return ops.part(only, -1, 0, dim);
    const shape = [...only.shape.slice(0, -1), places.length * only.shape.at(-1)!];
    return ops.part(ops.reshape(ops.stack(places), shape), -1, 0, dim);
  });
  return sumOf(ops, planes);
}

export function sumOf(ops: TensorflowOps, terms: readonly Handle[]): Handle {
  return terms.reduce((a, b) => ops.add(a, b));
}
