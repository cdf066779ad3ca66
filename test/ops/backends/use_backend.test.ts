import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {
  type BackendName,
  type BackendOptions,
  defaultBackend,
  useBackend,
} from '../../../ops/backends/use_backend.js';
import {threadCount} from '../../../ops/backends/heap_threads.js';
import {checkWasmPaths} from '../../../ops/backends/wasm_files.js';
import {BackendError, InvalidArgumentError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('useBackend', () => {
  let former: string | undefined;
  before(() => {
    former = tf.getBackend();
  });
  after(async () => {
    await tf.setBackend(former ?? 'cpu');
  });

  for (const name of ['wasm', 'cpu'] as const) {
    it(`starts ${name}, which then computes`, async () => {
      await useBackend(name);
      expect(tf.getBackend()).to.equal(name);
      expect([...tf.tidy(() => tf.add([1, 2], 1).dataSync())]).to.deep.equal([2, 3]);
    });
  }

  it('may be called again', async () => {
    await useBackend('wasm');
    const backend = tf.backend();
    await useBackend('wasm');
    expect(tf.backend()).to.equal(backend);
  });

  it('has a default that starts', async () => {
    await useBackend(defaultBackend);
    expect(tf.getBackend()).to.equal('wasm');
  });

  it('has one thread on other backends, which no warning is about', async () => {
    await useBackend('cpu');
    const {warn} = console;
    const said: unknown[] = [];
    console.warn = (...words: unknown[]) => said.push(...words);
    try {
      await useBackend('cpu', {threads: 2});
      expect(threadCount()).to.equal(1);
    } finally {
      console.warn = warn;
    }
    expect(said).to.deep.equal([]);
  });

  it('says, once, why there is one thread on a heap that none can share', () => {
    const folder = fileURLToPath(
      new URL('.', import.meta.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm')),
    );
    for (const first of ['{}', `{threads: 2, wasmPaths: ${JSON.stringify(folder)}}`]) {
      const script = `
        import {threadCount} from './ops/backends/heap_threads.js';
        import {useBackend} from './ops/backends/use_backend.js';
        await useBackend('wasm', ${first});
        await useBackend('wasm', {threads: 2});
        console.log(threadCount());`;
      const {stdout, stderr, status} = spawnSync(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '--eval', script],
        {cwd: root, encoding: 'utf8', timeout: 60_000},
      );
      expect({status, stdout}, stderr).to.deep.equal({status: 0, stdout: '1\n'});
      const notes = stderr.match(/eigenkv: .*/g) ?? [];
      expect(notes, stderr).to.have.length(1);
      expect(notes[0])
        .to.include('one thread instead of 2')
        .and.include(
          "call useBackend('wasm', {threads}) before anything else starts it, and without wasmPaths.",
        );
    }
  });

  it('says which names there are', async () => {
    await useBackend('cpu');
    const error = await rejection(useBackend('wsam' as BackendName), InvalidArgumentError);
    expect(error.message)
      .to.include('wasm, cpu, webgpu, webgl, tensorflow')
      .and.include('Did you mean "wasm"?');
    expect(tf.getBackend()).to.equal('cpu');
  });

  it('says what is wrong with the paths of wasm, and with other options', async () => {
    await useBackend('cpu');
    const refused = async (options: unknown, message: RegExp) => {
      await rejection(useBackend('wasm', options as BackendOptions), InvalidArgumentError, message);
      expect(tf.getBackend()).to.equal('cpu');
    };
    await refused(
      {wasmPaths: {'tfjs-backend-wasm.wasm': '/a.wasm'}},
      /Missing: tfjs-backend-wasm-simd\.wasm, tfjs-b/,
    );
    for (const wrong of [5, null, [], true, {'tfjs-backend-wasm-simd.wasm': 5}]) {
      await refused({wasmPaths: wrong}, /wasmPaths = .*; expected a folder's address, or an object/);
    }
    await refused(
      {wasmPath: '/folder/'},
      /^useBackend has no option "wasmPath"; it has wasmPaths, threads, features\. Did you mean "wasmPaths"\?$/,
    );
  });

  it('refuses options that are no object, whichever the backend', async () => {
    await useBackend('cpu');
    for (const wrong of [null, 4, 'all', [2], true]) {
      for (const name of ['wasm', 'cpu'] as const) {
        await rejection(
          useBackend(name, wrong as unknown as BackendOptions),
          InvalidArgumentError,
          /^useBackend: (null|4|"all"|\[2\]|true) was given; expected an object with wasmPaths, threads, features\.$/,
        );
        expect(tf.getBackend()).to.equal('cpu');
      }
    }
  });

  it('takes a folder of wasm files with or without its last slash', () => {
    for (const folder of ['', '/', '/files/', 'https://host/files/', 'C:\\files\\']) {
      expect(checkWasmPaths(folder)).to.equal(folder);
    }
    expect(checkWasmPaths('/files')).to.equal('/files/');
    expect(checkWasmPaths('https://host/files')).to.equal('https://host/files/');
  });

  it('ignores paths on backends that need no files', async () => {
    await useBackend('wasm');
    const backend = tf.backend();
    await useBackend('wasm', {wasmPaths: '/no/such/folder/'});
    expect(tf.backend()).to.equal(backend);
    await useBackend('cpu', {wasmPaths: '/no/such/folder/'});
    expect(tf.getBackend()).to.equal('cpu');
  });

  it('refuses webgl in Node and keeps the backend', async () => {
    await useBackend('wasm');
    await rejection(useBackend('webgl'), BackendError, /needs a browser/);
    expect(tf.getBackend()).to.equal('wasm');
    expect([...tf.tidy(() => tf.add([1, 2], 1).dataSync())]).to.deep.equal([2, 3]);
  });

  it('keeps the backend if another one fails to start', async () => {
    await useBackend('wasm');
    // the name of a known backend, with a factory that fails as a missing driver would
    tf.registerBackend('webgl', () => Promise.reject(new Error('no driver')));
    Object.defineProperty(process.versions, 'node', {...nodeVersion, value: undefined});
    const {warn} = console;
    console.warn = () => undefined; // tfjs prints the error as well
    try {
      const error = await rejection(useBackend('webgl'), BackendError, /did not start/);
      expect(error.message).to.include("use 'wasm'");
    } finally {
      console.warn = warn;
      Object.defineProperty(process.versions, 'node', nodeVersion);
      tf.removeBackend('webgl');
    }
    expect(tf.getBackend()).to.equal('wasm');
    expect([...tf.tidy(() => tf.add([1, 2], 1).dataSync())]).to.deep.equal([2, 3]);
  });
});

const nodeVersion = Object.getOwnPropertyDescriptor(process.versions, 'node')!;
