import type {WasmHeap} from '../backends/wasm_heap.js';
import {inverseScales, scales, vectorsOfHead, type LloydMaxLayout} from './lloyd_max_layout.js';
import {allWidths, levelsOf, levelUnit, planesOf} from './lloyd_max_levels.js';

/** The address of the tables that ops/assembly/lloyd_max.ts reads codes of a layout by, as it describes them. */
export function wasmTables({widths}: LloydMaxLayout, heap: WasmHeap): number {
  return heap.table(widths, () => {
    const shared = heap.table(sharedTables, () => new Int32Array(sharedTables().buffer));
    const vectors = widths.map(vectorsOfHead);
    let before = 0;
    const heads = widths.flatMap((ofHead, head) => {
      const first = before;
      before += vectors[head]!;
      return [first, ...ofHead];
    });
    return [shared, before, ...heads];
  });
}

/** Bytes of look-up tables of one plane, for up to four channels per nibble, and of those of one width with its terms. */
const planeBytes = 128;
const widthBytes = 2 * planeBytes + 2 * 64;
const largestWidth = 8;

const scalesAt = (largestWidth + 1) * widthBytes;
/** Where the tables of the encoder begin, and what it has for each width: midpoints, levels and codes. */
const encoderAt = scalesAt + 64;
const encoderWidthsAt = encoderAt + 64 * 8 + 64 * 4;
const encoderWidthBytes = 2 * 256 * 4 + 256;

/** What does not depend on a layout. */
function sharedTables(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(encoderWidthsAt + (largestWidth + 1) * encoderWidthBytes);
  const view = new DataView(bytes.buffer);
  for (const width of allWidths) {
    const {midpoints, levels: ascending, codes} = levelsOf(width);
    const ofEncoder = encoderWidthsAt + width * encoderWidthBytes;
    midpoints.forEach((midpoint, index) => view.setFloat32(ofEncoder + 4 * index, midpoint, true));
    ascending.forEach((level, index) => view.setFloat32(ofEncoder + 1024 + 4 * index, level, true));
    bytes.set(codes, ofEncoder + 2048);
    for (const [index, {bits, levels}] of planesOf(width).entries()) {
      const at = width * widthBytes;
      levels.forEach((level, value) => {
        view.setFloat32(at + 2 * planeBytes + 64 * index + 4 * value, level, true);
      });
      for (let channel = 0; channel < 4 / bits; channel++) {
        for (let nibble = 0; nibble < 16; nibble++) {
          const term = levels[(nibble >> (channel * bits)) & (2 ** bits - 1)]! / levelUnit;
          const to = at + index * planeBytes + 32 * channel + nibble;
          view.setUint8(to, term & 0xff);
          view.setInt8(to + 16, term >> 8);
        }
      }
    }
  }
  const scaleBytes = new Uint8Array(scales.slice(0, 16).buffer); // little-endian, as WebAssembly is
  for (let r = 0; r < 16; r++) {
    for (let byte = 0; byte < 4; byte++) bytes[scalesAt + 16 * byte + r] = scaleBytes[4 * r + byte]!;
  }
  for (const [exponent, inverse] of inverseScales.entries()) {
    view.setFloat64(encoderAt + 8 * exponent, 2 ** ((exponent - 40.5) / 8), true);
    view.setFloat32(encoderAt + 64 * 8 + 4 * exponent, inverse, true);
  }
  return bytes;
}
