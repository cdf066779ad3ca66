import {type TensorInfo, util} from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {evenRanges, partsOf, scratchOfThreads} from '../threads/index.js';

/** A kernel that takes matrices of a stack one after the other. */
interface StackKernel {
  readonly kernel: 'eigh' | 'svd' | 'qr';
  /** Bytes of scratch memory, and multiply-adds of one matrix, about. */
  readonly scratch: number;
  readonly work: number;
  /** The kernel's arguments behind the number of matrices. */
  readonly sizes: readonly number[];
}

/** Runs a kernel over a stack [count, ...] of matrices, which threads share one by one: they take different numbers of sweeps. */
export function matricesOnHeap(
  x: TensorInfo,
  shape: readonly [count: number, ...number[]],
  {kernel, scratch, work, sizes}: StackKernel,
): TensorInfo {
  const heap = wasmHeap()!;
  const [count] = shape;
  const [result] = heap.outputs([[...shape]], ([out]) => {
    const [from, to] = [heap.address(x), heap.address(out!)];
    const [fromBytes, toBytes] = [x.shape, shape].map(of => 4 * util.sizeFromShape(of.slice(1)));
    heap.split(
      kernel,
      evenRanges(count, partsOf(heap, count * work, count)).map(
        range =>
          [
            from + range.from * fromBytes!,
            to + range.from * toBytes!,
            0,
            range.to - range.from,
            ...sizes,
          ] as [number, number, number, number, number, number],
      ),
      scratchOfThreads(heap, scratch),
    );
  });
  return result!;
}
