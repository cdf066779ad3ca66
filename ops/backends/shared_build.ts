import {defineSharedMemory} from './share_memory.js';
import {type WasmFileMap, wasmFileNames} from './wasm_files.js';

/** Versions of tfjs-backend-wasm whose memory was shared by this and on which the tests of ops then passed. Others are tried: each step checks what it finds. */
export const sharedBuildVersions = ['4.10.0', '4.17.0', '4.20.0', '4.21.0', '4.22.0'] as const;

/**
 * tfjs' SIMD build for Node with a memory that threads can share, as data: addresses for `setWasmPaths`. tfjs has a threaded build,
 * which starts on cross-origin-isolated pages only; in the plain one, the memory that it defines becomes a shared one by one byte.
 *
 * @returns undefined if the file is not found, defines no such memory, or the engine refuses it.
 */
export function sharedBuild(): WasmFileMap | undefined {
  const file = readSimdBuild();
  if (file === undefined || !defineSharedMemory(file) || !WebAssembly.validate(file)) return undefined;
  const url = `data:application/wasm;base64,${Buffer.from(file).toString('base64')}`;
  const [plain, simd, threaded] = wasmFileNames;
  return {[plain]: url, [simd]: url, [threaded]: url};
}

function readSimdBuild(): Uint8Array<ArrayBuffer> | undefined {
  const {createRequire} = process.getBuiltinModule('node:module');
  const {readFileSync} = process.getBuiltinModule('node:fs');
  const {dirname, join} = process.getBuiltinModule('node:path');
  try {
    const entry = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
    return new Uint8Array(readFileSync(join(dirname(entry), wasmFileNames[1])));
  } catch {
    return undefined; // in a bundle, or another layout of the package
  }
}
