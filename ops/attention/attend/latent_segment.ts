import * as tf from '@tensorflow/tfjs';
import type {WasmHeap} from '../../backends/wasm_heap.js';
import {integerKind} from '../../encodings/integer.js';
import {type Basis, basisShape, tokenEncodingOf} from '../../encodings/low_rank.js';
import {describeEncoding, descriptorBytes} from '../../encodings/wasm.js';
import {storedSegment} from './index.js';
import {missingRotation} from './stored_keys.js';
import type {AttendedSegment, StoredSegment} from './types.js';
import {describeSegment, segmentBytes} from './wasm.js';

// Segments of any encodings as `attendSegmentsWasm` takes them: token encodings, and bases and means beside them.

/** A segment of token encodings, and what turns queries to its keys' latents and outputs back to values. */
export interface LatentSegment {
  readonly stored: StoredSegment;
  /** Whether keys and values are float32. */
  readonly isExact: boolean;
  /** Of keys: `[batch, kvHeads, rank, dim]`, `[batch, kvHeads, 1, dim]` both. */
  readonly keyBasis?: Basis | undefined;
  readonly keyMean?: tf.Tensor4D | undefined;
  readonly rotatedMean?: tf.Tensor4D | undefined;
  readonly isInterleaved?: boolean;
  readonly valueBasis?: Basis | undefined;
  readonly valueMean?: tf.Tensor4D | undefined;
}

export function latentSegment(segment: AttendedSegment): LatentSegment {
  const {keys, values, keyRotation} = segment;
  const ofValues = tokenEncodingOf(values);
  const valueLatent = values.kind === 'lowRank' ? {valueBasis: values.basis, valueMean: values.mean} : {};
  if (keys.kind !== 'lowRank' || keys.rotate === true) {
    const stored = storedSegment(keys.kind === 'lowRank' ? {...keys, rotate: true} : keys, ofValues, segment);
    return {stored, isExact: keys.kind === 'dense' && values.kind === 'dense', ...valueLatent};
  }
  const {latents, basis, mean, rotatedMean} = keys;
  if (rotatedMean !== undefined && keyRotation === undefined) throw missingRotation('have a rotated mean');
  return {
    stored: storedSegment(latents, ofValues, segment, rotatedMean !== undefined),
    isExact: false,
    ...{keyBasis: basis, keyMean: mean, rotatedMean, isInterleaved: keyRotation?.interleaved === true},
    ...valueLatent,
  };
}

/** Descriptors of a segment, and of the codes of its bases. */
export function describeLatent(heap: WasmHeap, {stored, keyBasis, valueBasis}: LatentSegment): number[] {
  return describeSegment(heap, stored).concat(describeBasis(heap, keyBasis), describeBasis(heap, valueBasis));
}

/** Bytes of what `describeLatent` gives. */
export const latentBytes = segmentBytes + 2 * descriptorBytes;

function describeBasis(heap: WasmHeap, basis: Basis | undefined): number[] {
  if (basis === undefined || basis instanceof tf.Tensor) return noDescriptor;
  return describeEncoding(heap, integerKind.layout(basis), basis.codes, basis.params);
}

const noDescriptor = Array<number>(descriptorBytes / 4).fill(0);

/** Numbers per key head of a basis that has to be decoded first. */
export function decodedNumbers(basis: Basis | undefined): number {
  if (basis === undefined || basis instanceof tf.Tensor) return 0;
  const [, , rank, dim] = basisShape(basis);
  return rank * dim;
}
