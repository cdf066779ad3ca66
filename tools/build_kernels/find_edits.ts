import {textOfBytes} from './text_of_bytes.js';

/** Runs of fewer equal bytes are written out: naming them would take as many characters. */
const shortest = 8;

/**
 * The edits by which `applyEdits` (ops/backends/binary_edits.ts) makes `binary` of `other`. Greedy: at each byte the longest equal run
 * is copied, among equals the nearest.
 */
export function findEdits(other: Uint8Array, binary: Uint8Array, ranked: string): string {
  const places = placesOfRuns(other);
  const edits: string[] = [];
  let [copied, at] = [0, 0]; // the end of the former run in `other`, and in `binary`
  let edit = {skip: 0, copy: 0, bytes: [] as number[]};
  while (at < binary.length) {
    const run = longestRun(copied + edit.bytes.length);
    if (run.length === 0) {
      edit.bytes.push(binary[at++]!);
      continue;
    }
    edits.push(textOf(edit));
    edit = {skip: run.start - copied, copy: run.length, bytes: []};
    copied = run.start + run.length;
    at += run.length;
  }
  return [...edits, textOf(edit)].join(' ');

  function textOf({skip, copy, bytes}: typeof edit): string {
    return `${skip},${copy},${textOfBytes(Uint8Array.from(bytes), ranked)}`;
  }

  function longestRun(expected: number): {start: number; length: number} {
    const starts = (places.get(keyOf(binary, at)) ?? []).toSorted(
      (a, b) => Math.abs(a - expected) - Math.abs(b - expected),
    );
    let longest = {start: 0, length: 0};
    for (const start of starts) {
      let length = shortest;
      while (at + length < binary.length && binary[at + length] === other[start + length]) length++;
      if (length > longest.length) longest = {start, length};
    }
    return longest;
  }
}

/** Where each run of `shortest` bytes begins. */
function placesOfRuns(bytes: Uint8Array): Map<string, number[]> {
  const places = new Map<string, number[]>();
  for (let at = 0; at + shortest <= bytes.length; at++) {
    const key = keyOf(bytes, at);
    const starts = places.get(key);
    if (starts === undefined) places.set(key, [at]);
    else starts.push(at);
  }
  return places;
}

function keyOf(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + shortest));
}
