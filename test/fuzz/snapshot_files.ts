import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {KVCache, type LayerShape, type Spec, makePolicy} from '../../cache/index.js';
import {crc32} from '../../base/crc32.js';
import {concat, u32, u64} from '../base/files/file_bytes.js';
import type {Reader} from './harness.js';
import {damagedBytes, damagedJson} from './mutations.js';

// Snapshots of caches, damaged: with a checksum that tells of it, and with one made anew by whoever did the damage.

const rows: LayerShape[] = [0, 1].map(depth => ({depth, heads: 2, kvHeads: 1, dim: 8, dimV: 8}));
const policies: readonly Spec[] = [
  {name: 'full'},
  {name: 'quantized', options: {bits: 4, groupSize: 4, residual: 2}},
  {name: 'h2o', options: {heavyBudget: 6, recentBudget: 4}},
  {name: 'layered', options: {shortTermSize: 4, longTermRank: 4, longTermBits: 8}},
];

async function snapshotOf({name, options}: Spec): Promise<Uint8Array> {
  const cache = new KVCache(rows, makePolicy({name, options}));
  for (let step = 0; step < 3; step++) {
    for (const {depth, heads, kvHeads, dim} of rows) {
      tf.tidy(() => {
        const random = (count: number) =>
          tf.randomNormal<tf.Rank.R4>([1, count, 8, dim], 0, 1, 'float32', step + 1);
        const fresh = {
          queries: random(heads),
          keys: random(kvHeads),
          values: random(kvHeads),
          rope: {theta: 100},
        };
        cache.attend(depth, fresh);
      });
    }
  }
  const bytes = await cache.save();
  cache.dispose();
  return bytes;
}

/** The bytes with the checksum of what stands before it. */
function withChecksum(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 4) return bytes;
  const content = bytes.subarray(0, bytes.length - 4);
  return concat(content, u32(crc32(content)));
}

interface Header {
  readonly __metadata__: Record<string, string>;
  readonly [tensor: string]: unknown;
}

/** Header and data of a snapshot, and the text that describes the cache. */
function parts(bytes: Uint8Array): {header: Header; data: Uint8Array; description: string} {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Header;
  return {header, data: bytes.subarray(8 + length), description: header.__metadata__['cache']!};
}

function withHeader(header: string, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(header);
  return withChecksum(concat(u64(text.length), text, data));
}

export async function snapshotReader(): Promise<Reader> {
  await tf.setBackend('cpu');
  const whole = await Promise.all(policies.map(snapshotOf));
  const opened = whole.map(parts);
  return {
    name: 'snapshot',
    whole,
    extraBytes: bytes => 8 * bytes.length, // codes become float32 numbers where they are looked at on cpu
    inputs: fc.oneof(
      damagedBytes(whole),
      damagedBytes(whole).map(withChecksum),
      fc
        .constantFrom(...opened)
        .chain(({header, data, description}) =>
          damagedJson([description]).map(cache =>
            withHeader(JSON.stringify({...header, __metadata__: {...header.__metadata__, cache}}), data),
          ),
        ),
      fc
        .constantFrom(...opened)
        .chain(({header, data}) => damagedJson([JSON.stringify(header)]).map(text => withHeader(text, data))),
    ),
    async read(bytes) {
      const before = tf.memory().numTensors;
      try {
        const cache = await KVCache.restore(bytes, rows);
        cache.dispose();
      } finally {
        expect(tf.memory().numTensors, 'tensors').to.equal(before);
      }
    },
  };
}
