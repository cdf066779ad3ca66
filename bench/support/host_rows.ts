import type * as tf from '@tensorflow/tfjs';
import type {Segment} from '../../cache/past/past.js';
import {type RopeConfig, ropeFrequencies} from '../../ops/rotate/rope.js';

/** A dense segment on the host, of one text: by head and row. */
export interface HostSegment {
  readonly positions: readonly (readonly number[])[];
  /** Where the policy observes attention. */
  readonly scores: readonly Float32Array[] | undefined;
  readonly keys: HostRows;
  readonly values: HostRows;
}

interface HostRows {
  readonly dim: number;
  readonly row: (head: number, row: number) => Float32Array;
}

/** @throws Error if tokens are not stored as they came. */
export async function hostSegment({keys, values, tokens, positions, scores}: Segment): Promise<HostSegment> {
  if (keys.kind !== 'dense' || values.kind !== 'dense') {
    throw new Error('only policies that store tokens as they came can be compared with a log');
  }
  const heads = keys.data.shape[1];
  const listed = typeof positions === 'number' ? undefined : await positions.data<'float32'>();
  const rows = listed === undefined ? 0 : listed.length / heads;
  return {
    positions: Array.from({length: heads}, (_, head) =>
      Array.from({length: tokens}, (_, row) =>
        listed === undefined ? (positions as number) + row : listed[head * rows + row]!,
      ),
    ),
    scores: scores && (await rowsOfHeads(scores)),
    keys: await hostRows(keys.data),
    values: await hostRows(values.data),
  };
}

async function rowsOfHeads(column: tf.Tensor4D): Promise<Float32Array[]> {
  const numbers = await column.data<'float32'>();
  const [, heads, rows] = column.shape;
  return Array.from({length: heads}, (_, head) => numbers.subarray(head * rows, (head + 1) * rows));
}

async function hostRows(data: tf.Tensor4D): Promise<HostRows> {
  const numbers = await data.data<'float32'>();
  const [, , capacity, dim] = data.shape;
  return {
    dim,
    row: (head: number, row: number) => {
      const at = (head * capacity + row) * dim;
      return numbers.subarray(at, at + dim);
    },
  };
}

/** A key rotated to its position in float64, channel i with channel i + dim / 2 (or 2i with 2i + 1). */
export function rotated(
  key: ArrayLike<number>,
  position: number,
  rope: RopeConfig | undefined,
): Float64Array {
  const out = Float64Array.from(key);
  if (rope === undefined) return out;
  const {frequencies, magnitude} = frequenciesOf(rope, key.length);
  frequencies.forEach((frequency, pair) => {
    const [i, j] = rope.interleaved ? [2 * pair, 2 * pair + 1] : [pair, pair + frequencies.length];
    const [cos, sin] = [
      Math.cos(position * frequency) * magnitude,
      Math.sin(position * frequency) * magnitude,
    ];
    out[i] = key[i]! * cos - key[j]! * sin;
    out[j] = key[j]! * cos + key[i]! * sin;
  });
  return out;
}

type Frequencies = ReturnType<typeof ropeFrequencies>;
const known = new WeakMap<RopeConfig, Map<number, Frequencies>>();

/** Computed once per rotation: a replay asks for them at each token. */
function frequenciesOf(rope: RopeConfig, dim: number): Frequencies {
  let ofRope = known.get(rope);
  if (ofRope === undefined) known.set(rope, (ofRope = new Map<number, Frequencies>()));
  let found = ofRope.get(dim);
  if (found === undefined) ofRope.set(dim, (found = ropeFrequencies(rope, dim)));
  return found;
}
