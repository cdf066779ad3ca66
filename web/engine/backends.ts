import {BackendError, useBackend} from '../../src/index.js';
import type {BrowserBackend} from './protocol.js';

/**
 * Starts a backend, or wasm if this browser cannot start it; wasm on all threads if the page may have any.
 * @returns which one runs, and why it is not the one that was asked for.
 */
export async function startBackend(
  wanted: BrowserBackend,
): Promise<{backend: BrowserBackend; fallback?: string}> {
  const options = globalThis.crossOriginIsolated ? ({threads: 'all'} as const) : {};
  try {
    if (wanted === 'webgpu') await import('@tensorflow/tfjs-backend-webgpu');
    await useBackend(wanted, options);
    return {backend: wanted};
  } catch (error) {
    if (wanted === 'wasm' || !(error instanceof BackendError)) throw error;
    await useBackend('wasm', options);
    return {backend: 'wasm', fallback: error.message};
  }
}
