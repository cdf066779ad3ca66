import {BackendError, useBackend} from '../../src/index.js';
import type {BrowserBackend} from './protocol.js';

/**
 * Starts a backend, or wasm if this browser cannot start it.
 * @returns which one runs, and why it is not the one that was asked for.
 */
export async function startBackend(
  wanted: BrowserBackend,
): Promise<{backend: BrowserBackend; fallback?: string}> {
  try {
    if (wanted === 'webgpu') await import('@tensorflow/tfjs-backend-webgpu');
    await useBackend(wanted);
    return {backend: wanted};
  } catch (error) {
    if (wanted === 'wasm' || !(error instanceof BackendError)) throw error;
    await useBackend('wasm');
    return {backend: 'wasm', fallback: error.message};
  }
}
