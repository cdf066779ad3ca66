import {expect} from 'chai';
import {wasmHeap} from '../../ops/backends/wasm_heap.js';
import {heapMemory} from './heap_memory.js';

const guardBytes = 256;
const guard = 0xa5;

/**
 * Runs ops of the wasm backend with guard bytes around each block of scratch memory of their kernels, and expects the guards to be
 * unchanged. The block itself is filled with NaN, so that a kernel that reads before it writes gives a wrong result.
 */
export function withScratchGuards<Result>(run: () => Result): Result {
  const heap = wasmHeap()!;
  const {scratch} = heap;
  let expectUntouched = () => {};
  Object.assign(heap, {
    scratch: (bytes: number) => {
      expectUntouched(); // the former block is no longer in use
      const before = scratch(bytes + 2 * guardBytes);
      const block = before + guardBytes;
      const view = (at: number, length: number) => new Uint8Array(heapMemory().buffer, at, length);
      view(before, guardBytes).fill(guard);
      view(block, bytes).fill(0xff);
      view(block + bytes, guardBytes).fill(guard);
      expectUntouched = () => {
        for (const [side, at] of [
          ['before', before],
          ['behind', block + bytes],
        ] as const) {
          const touched = view(at, guardBytes).findIndex(byte => byte !== guard);
          expect(touched, `first byte written ${side} a block of ${bytes} bytes`).to.equal(-1);
        }
      };
      return block;
    },
  });
  try {
    const result = run();
    expectUntouched();
    return result;
  } finally {
    Object.assign(heap, {scratch});
  }
}
