import type {WasmHeap} from '../backends/wasm_heap.js';
import {scales, vectorsOfHead, type LloydMaxLayout} from './lloyd_max_layout.js';
import {levelUnit, planesOf, type Width} from './lloyd_max_levels.js';

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

/** What does not depend on a layout. */
function sharedTables(): Uint8Array<ArrayBuffer> {
  const scalesAt = (largestWidth + 1) * widthBytes;
  const bytes = new Uint8Array(scalesAt + 64);
  const view = new DataView(bytes.buffer);
  for (const width of [1, 2, 3, 4, 5, 6, 8] satisfies Width[]) {
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
  return bytes;
}
