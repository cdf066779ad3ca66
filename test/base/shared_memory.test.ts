import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {quantized} from '../../cache/policies/index.js';
import {byteStore} from '../../cache/stores/index.js';
import {bytesSource} from '../../base/files/byte_source.js';
import {openSafetensors} from '../../base/files/safetensors.js';
import {isShared, unshared} from '../../base/shared_memory.js';
import {openGguf} from '../../base/files/gguf.js';
import {textIds} from '../../src/evaluate/index.js';
import {ggufBytes, safetensorsBytes} from './files/file_bytes.js';
import {characterTokenizer} from '../support/tiny_model.js';

/** The bytes in memory that threads share, not at its beginning. */
function shared(bytes: Uint8Array): Uint8Array {
  const view = new Uint8Array(new SharedArrayBuffer(bytes.length + 8), 3, bytes.length);
  view.set(bytes);
  return view;
}

describe('memory that threads share', () => {
  // browsers' decoders refuse such memory, Node's do not
  const {decode} = TextDecoder.prototype;
  before(() => {
    TextDecoder.prototype.decode = function (bytes, options) {
      const buffer = ArrayBuffer.isView(bytes) ? bytes.buffer : bytes;
      if (isShared(buffer)) throw new TypeError('The provided ArrayBufferView value must not be shared.');
      return decode.call(this, bytes, options);
    };
  });
  after(() => {
    TextDecoder.prototype.decode = decode;
  });

  it('is known without the name of its class, which pages that are not isolated lack', () => {
    const {SharedArrayBuffer: itsClass} = globalThis;
    const buffers = [new ArrayBuffer(8), new SharedArrayBuffer(8)];
    try {
      Reflect.deleteProperty(globalThis, 'SharedArrayBuffer');
      expect(buffers.map(isShared)).to.deep.equal([false, true]);
      expect([undefined, null, {}].some(isShared)).to.equal(false);
    } finally {
      globalThis.SharedArrayBuffer = itsClass;
    }
  });

  it('is copied, other memory is not', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(unshared(bytes)).to.equal(bytes);
    const copy = unshared(shared(bytes));
    expect(isShared(copy.buffer)).to.equal(false);
    expect([...copy]).to.deep.equal([1, 2, 3]);
  });

  it('may hold a text', () => {
    const ids = (text: string | Uint8Array) => textIds(characterTokenizer, text);
    expect(ids(shared(new TextEncoder().encode('some text')))).to.deep.equal(ids('some text'));
  });

  it('may hold weights', async () => {
    const bytes = safetensorsBytes({a: {dtype: 'U8', shape: [2], data_offsets: [0, 2]}}, Uint8Array.of(4, 9));
    const file = await openSafetensors(bytesSource(shared(bytes)));
    expect([...(await file.readFloat32('a'))]).to.deep.equal([4, 9]);
    expect((await openGguf(bytesSource(shared(ggufBytes({}))))).format).to.equal('gguf');
  });

  it('may hold a snapshot', async () => {
    const rows = [{depth: 0, heads: 2, kvHeads: 1, dim: 16, dimV: 16}];
    const cache = new KVCache(rows, quantized({groupSize: 8, residual: 4}));
    const random = (seed: number, heads: number) =>
      tf.randomNormal<tf.Rank.R4>([1, heads, 40, 16], 0, 1, 'float32', seed);
    tf.tidy(() => void cache.attend(0, {queries: random(1, 2), keys: random(2, 1), values: random(3, 1)}));
    const bytes = await cache.save();
    const restored = await KVCache.restore(shared(bytes), rows);
    expect(Buffer.compare(await restored.save(), bytes)).to.equal(0);
    cache.dispose();
    restored.dispose();
  });

  it('is nothing that a store has to keep, but one may give it', async () => {
    const bytes = Uint8Array.of(5, 6, 7);
    const map = new Map<string, Uint8Array>();
    await byteStore(map).set('chat', shared(bytes));
    expect(isShared(map.get('chat')!.buffer)).to.equal(false);
    const buffer = new SharedArrayBuffer(3);
    new Uint8Array(buffer).set(bytes);
    for (const given of [shared(bytes), buffer]) {
      const store = byteStore({get: () => given, set: () => undefined});
      expect([...(await store.get('chat'))!]).to.deep.equal([5, 6, 7]);
    }
  });
});
