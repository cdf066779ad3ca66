import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {useBackend} from '../../ops/backends/use_backend.js';
import {wasmFileNames} from '../../ops/backends/wasm_files.js';

// For mocha's --require: tfjs' wasm heap becomes one that is shared between threads, as on cross-origin-isolated pages. tfjs' own
// threaded build does not start in Node; its plain SIMD build does with one flag of its memory changed.

const packageFolder = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'));
const binary = readFileSync(join(packageFolder, 'tfjs-backend-wasm-simd.wasm'));
shareMemory(binary);
const url = `data:application/wasm;base64,${binary.toString('base64')}`;

/** Changes the memory that a module defines to a shared one, in place. */
function shareMemory(module: Uint8Array): void {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
      byte = module[at++]!;
      value |= (byte & 0x7f) << shift;
    }
    return value;
  };
  while (module[at] !== 5) {
    at += 1;
    const size = number();
    at += size;
  }
  at += 1;
  number();
  if (number() !== 1 || module[at] !== 1) throw new Error("tfjs' module has not one memory with a maximum");
  module[at] = 3;
}

/** Root hooks: all tests run on such a heap. */
export const mochaHooks = {
  async beforeAll(): Promise<void> {
    const [plain, simd, threaded] = wasmFileNames;
    await useBackend('wasm', {wasmPaths: {[plain]: url, [simd]: url, [threaded]: url}});
  },
  async afterAll(): Promise<void> {
    await tf.setBackend('wasm');
    const {wasm} = tf.backend() as unknown as {wasm: {asm: {memory: WebAssembly.Memory}}};
    expect(wasm.asm.memory.buffer).to.be.instanceOf(SharedArrayBuffer);
  },
};
