import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {useBackend} from '../../ops/backends/use_backend.js';
import {wasmHeap} from '../../ops/backends/wasm_heap.js';
import {splitting} from '../../ops/threads/index.js';

// For mocha's --require: all tests of the wasm backend run on a heap that threads share, with EIGENKV_THREADS of them (default 2), which also
// share work that is too little to be worth it.

const threads = Number(process.env['EIGENKV_THREADS'] ?? 2);

export const mochaHooks = {
  async beforeAll(): Promise<void> {
    splitting.leastWork = 1;
    await useBackend('wasm', {threads});
  },
  async afterAll(): Promise<void> {
    await tf.setBackend('wasm');
    expect(wasmHeap()).to.include({isShared: true, threads});
  },
};
