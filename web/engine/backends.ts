import {setWasmPaths} from '@tensorflow/tfjs-backend-wasm';
import plainUrl from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simdUrl from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import threadedUrl from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url';
import {BackendError, useBackend} from '../../src/index.js';
import type {BrowserBackend} from './protocol.js';

/**
 * Starts a backend, or wasm where this browser cannot start it.
 * @returns which one runs, and why it is not the one that was asked for.
 */
export async function startBackend(
  wanted: BrowserBackend,
): Promise<{backend: BrowserBackend; fallback?: string}> {
  setWasmPaths({
    'tfjs-backend-wasm.wasm': plainUrl,
    'tfjs-backend-wasm-simd.wasm': simdUrl,
    'tfjs-backend-wasm-threaded-simd.wasm': threadedUrl,
  });
  try {
    await useBackend(wanted);
    return {backend: wanted};
  } catch (error) {
    if (wanted === 'wasm' || !(error instanceof BackendError)) throw error;
    await useBackend('wasm');
    return {backend: 'wasm', fallback: error.message};
  }
}
