import {kernels} from '../assembly/kernels_binary.js';
import {relaxedEdits} from '../assembly/kernels_relaxed_binary.js';
import {applyEdits, bytesOfHex} from './binary_edits.js';

/** The compiled kernels. */
export function kernelsBinary(): Uint8Array<ArrayBuffer> {
  return bytesOfHex(kernels);
}

/** The compiled kernels for engines with relaxed SIMD, where a multiplication and an addition are one instruction. */
export function relaxedKernelsBinary(): Uint8Array<ArrayBuffer> {
  return applyEdits(kernelsBinary(), relaxedEdits);
}
