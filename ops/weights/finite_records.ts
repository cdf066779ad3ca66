import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {WasmHeap} from '../backends/wasm_heap.js';
import {type PackedFormat, inputsOfRecord, outputsOfRecord, packedFormats, recordBytes} from './formats.js';

/** The memory of records whose float16 numbers are all finite. */
const finite = new WeakSet<object>();

/** Says that the float16 numbers of records are finite, so that nobody need look: who wrote them has looked. */
export function markFinite({dataId}: tf.TensorInfo): void {
  finite.add(dataId);
}

/**
 * The address of records for a kernel. Kernels decode float16's NaN and infinity as numbers, so records that came by another way than
 * a file (`setWeights`, `tf.loadLayersModel`) are looked through once, at their first use.
 *
 * @throws InvalidArgumentError if a scale, a minimum or a float16 weight is NaN or infinite.
 */
export function recordsAddress(heap: WasmHeap, records: tf.TensorInfo, format: PackedFormat): number {
  if (!finite.has(records.dataId)) {
    expectFinite(heap.bytes(records), format);
    markFinite(records);
  }
  return heap.address(records);
}

const exponent = 0x7c00; // all of its bits are set in float16's NaN and infinity only

function expectFinite({buffer, byteOffset, byteLength}: Uint8Array, format: PackedFormat): void {
  if (format === 'bfloat16') return; // decoded as they are: NaN stays NaN
  const {bits} = packedFormats[format];
  const size = recordBytes(format) / 2;
  const first = bits === 16 ? 0 : (outputsOfRecord * inputsOfRecord * bits) / 16;
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  for (let record = 0; record < halves.length; record += size) {
    for (let i = record + first; i < record + size; i++) {
      if ((halves[i]! & exponent) !== exponent) continue;
      throw new InvalidArgumentError(
        `Record ${record / size} of a ${format} matrix holds a ${bits === 16 ? 'weight' : 'scale or minimum'} that is NaN or infinite; ` +
          'expected finite float16. Its records are damaged: set them again.',
      );
    }
  }
}
