import {kernels, rankedBytes} from '../assembly/kernels_binary.js';
import {relaxedEdits} from '../assembly/kernels_relaxed_binary.js';
import {applyEdits} from './binary_edits.js';
import {textReader} from './binary_text.js';

/** The compiled kernels. */
export function kernelsBinary(): Uint8Array<ArrayBuffer> {
  return textReader(rankedBytes)(kernels);
}

/** The compiled kernels for engines with relaxed SIMD, where a multiplication and an addition are one instruction. */
export function relaxedKernelsBinary(): Uint8Array<ArrayBuffer> {
  return applyEdits(kernelsBinary(), relaxedEdits, rankedBytes);
}
