import {registerPolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {policy} from '../../cache/index.js';
import {KVCache} from '../../cache/kv_cache.js';
import {bands, perDepth} from '../../cache/plans/index.js';
import {adaptive, full, h2o, layered, onlineSvd, quantized} from '../../cache/policies/index.js';
import {crc32} from '../../base/crc32.js';
import {
  CacheStateError,
  EigenkvError,
  FormatError,
  InvalidArgumentError,
  ModelError,
} from '../../base/errors.js';
import {bytesSource} from '../../base/files/byte_source.js';
import {openSafetensors} from '../../base/files/safetensors.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {rejection} from '../base/files/rejection.js';
import {expectNoLeak} from '../support/tensors.js';
import '../support/lloyd_max_codec.js';
import {tinyModel} from '../support/tiny_model.js';

const layerShape = (depth: number, sizes = {}) => ({
  depth,
  heads: 2,
  kvHeads: 1,
  dim: 16,
  dimV: 16,
  ...sizes,
});

function fresh(tokens: number, seed: number, dim = 16) {
  const make = (heads: number, at: number) =>
    tf.randomNormal<tf.Rank.R4>([1, heads, tokens, dim], 0, 1, 'float32', seed + at);
  return {queries: make(2, 1), keys: make(1, 2), values: make(1, 3)};
}

/** So many tokens into every depth. */
function take(cache: KVCache, tokens: number, seed: number): void {
  cache.report().forEach(({depth}) => tf.tidy(() => void cache.attend(depth, fresh(tokens, seed + depth))));
}

/** The snapshot with its JSON changed, its checksum made right again. */
function changed(bytes: Uint8Array, change: (description: Description) => void): Uint8Array {
  return withMetadata(bytes, metadata => {
    const description = JSON.parse(metadata['cache']!) as Description;
    change(description);
    metadata['cache'] = JSON.stringify(description);
  });
}

interface Description {
  rows: Record<string, number>[];
  policies: {name: string; options: Record<string, unknown>}[];
  depths: (Record<string, unknown> & {
    batch: number;
    tokensSeen: number;
    recent: Record<string, unknown> & {tokens: number; positions: number; keys: Record<string, unknown>};
    held: [string, Record<string, unknown> & {tokens: number; keys: Record<string, unknown>}][];
  })[];
}

function withMetadata(bytes: Uint8Array, change: (metadata: Record<string, string>) => void): Uint8Array {
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes))) as {
    __metadata__: Record<string, string>;
  };
  change(header.__metadata__);
  const json = new TextEncoder().encode(JSON.stringify(header));
  const changedBytes = new Uint8Array(8 + json.length + bytes.length - 8 - headerBytes);
  new DataView(changedBytes.buffer).setBigUint64(0, BigInt(json.length), true);
  changedBytes.set(json, 8);
  changedBytes.set(bytes.subarray(8 + headerBytes), 8 + json.length);
  return withChecksum(changedBytes);
}

function withChecksum(bytes: Uint8Array): Uint8Array {
  const end = bytes.length - 4;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

describe('CRC-32', () => {
  it('is that of ISO 3309', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).to.equal(0xcbf43926); // the check value of every catalogue
    expect(crc32(new Uint8Array())).to.equal(0);
    expect(crc32(new Uint8Array(32))).to.equal(0x190a55ad); // zlib.crc32(bytes(32)) in Python
  });
});

describe('a snapshot', () => {
  before(() => useBackend('cpu'));

  it('is a safetensors file without spare capacity', async () => {
    const cache = new KVCache([layerShape(0)], quantized({sinks: 0, residual: 4, groupSize: 16}));
    take(cache, 50, 1);
    const file = await openSafetensors(bytesSource(await cache.save()));
    expect(file.metadata.get('kind')).to.equal('eigenkv cache');
    expect(file.tensors.get('depth.0.held.stored.keys.codes')!.shape).to.deep.equal([1, 1, 32, 4]);
    expect(file.tensors.get('depth.0.recent.keys.data')!.shape).to.deep.equal([1, 1, 18, 16]);
    expect([...file.tensors.keys()].at(-1)).to.equal('crc32');
    cache.dispose();
  });

  it('is read from a Buffer of Node, whose slices are no copies', async () => {
    const cache = new KVCache([layerShape(0)], full());
    take(cache, 5, 1);
    const bytes = await cache.save();
    const restored = await KVCache.restore(Buffer.from(bytes), [layerShape(0)]);
    expect(await restored.save()).to.deep.equal(bytes);
    cache.dispose();
    restored.dispose();
  });

  it('keeps every depth, including empty ones, and the options', async () => {
    const shapes = [layerShape(0), layerShape(1), layerShape(2)];
    const plan = perDepth([quantized({sinks: 0, bits: 4}), h2o({heavyBudget: 8, recentBudget: 8}), full()]);
    const empty = new KVCache(shapes, plan, {expectedTokens: 77, beyondContext: true});
    const restored = await KVCache.restore(await empty.save(), shapes);
    expect(restored.beyondContext).to.equal(true);
    expect(restored.signature).to.equal(empty.signature);
    expect(restored.tokens).to.equal(0);
    take(restored, 60, 1);
    take(empty, 60, 1);
    expect(Buffer.compare(await restored.save(), await empty.save())).to.equal(0);
    restored.dispose();
    empty.dispose();
  });

  it('allows a change of plan with the same result as in the saved cache', async () => {
    for (const policy of [
      onlineSvd({rank: 8, updateFreq: 8}),
      layered({shortTermSize: 8, longTermBits: 8}),
    ]) {
      const cache = new KVCache([layerShape(0)], policy);
      tf.tidy(
        () =>
          void cache.attend(0, {...fresh(40, 1), rope: {theta: 100, scaling: {type: 'linear', factor: 2}}}),
      );
      const restored = await KVCache.restore(await cache.save(), [layerShape(0)]);
      for (const used of [cache, restored]) await used.setPlan(full());
      expect(Buffer.compare(await restored.save(), await cache.save()), policy.name).to.equal(0);
      cache.dispose();
      restored.dispose();
    }
  });

  it('moves between backends bit for bit', async () => {
    const cache = new KVCache([layerShape(0)], quantized({sinks: 0, bits: 2, residual: 3, groupSize: 4}));
    take(cache, 70, 1);
    const bytes = await cache.save();
    cache.dispose();
    await useBackend('wasm');
    const restored = await KVCache.restore(bytes, [layerShape(0)]);
    expect(Buffer.compare(await restored.save(), bytes)).to.equal(0);
    restored.dispose();
    await useBackend('cpu');
  });

  it('has the state at the call, whatever happens while it is written', async () => {
    const cache = new KVCache([layerShape(0)], quantized({sinks: 0, residual: 2, groupSize: 4}));
    take(cache, 30, 1);
    const expected = await cache.save();
    const saving = cache.save();
    for (let i = 0; i < 40; i++) take(cache, 1, i);
    expect(Buffer.compare(await saving, expected)).to.equal(0);
    cache.reset();
    cache.dispose();
  });

  it('recognises its model by sizes and weights', async () => {
    const [model, other] = [tinyModel(1), tinyModel(2)];
    const cache = new KVCache(model);
    tf.tidy(() => void model.apply(tf.tensor2d([[1, 2, 3]], [1, 3], 'int32'), {cache}));
    const bytes = await cache.save();
    (await KVCache.restore(bytes, model)).dispose();
    const error = await rejection(KVCache.restore(bytes, other), ModelError);
    expect(error.message).to.match(/fingerprint of its weights is \w{16}, that of this model is \w{16}/);
    cache.dispose();
    model.dispose();
    other.dispose();
    const small = new KVCache([layerShape(0), layerShape(1)]);
    take(small, 3, 1);
    const saved = await small.save();
    const wrong = {
      'it has 2 depths, this model has 1': [layerShape(0)],
      'at depth 1 it has kvHeads = 1, this model has 2': [layerShape(0), layerShape(1, {kvHeads: 2})],
      'at depth 0 it has dimV = 16, this model has 8': [layerShape(0, {dimV: 8}), layerShape(1)],
      'at depth 0 it has headDim = none, this model has 32': [layerShape(0, {headDim: 32}), layerShape(1)],
    };
    for (const [message, shapes] of Object.entries(wrong)) {
      const refused = await rejection(KVCache.restore(saved, shapes), ModelError);
      expect(refused.message).to.include(message);
    }
    small.dispose();
  });

  it('recognises its plan, and accepts one with policies that are not registered', async () => {
    const cache = new KVCache([layerShape(0)], quantized({sinks: 0, bits: 4}));
    take(cache, 3, 1);
    const bytes = await cache.save();
    for (const [plan, message] of [
      [quantized({sinks: 0, bits: 8}), 'at depth 0 it has quantized with bits = 4, the plan has 8'],
      [full(), 'at depth 0 it has quantized, the plan has full'],
      [bands(), 'at depth 0'],
    ] as const) {
      const error = await rejection(KVCache.restore(bytes, [layerShape(0)], plan), InvalidArgumentError);
      expect(error.message).to.include(message);
    }
    cache.dispose();
    const own = {...full(), name: 'testOfMyOwn'};
    const mine = new KVCache([layerShape(0)], own);
    take(mine, 3, 1);
    const saved = await mine.save();
    const unknown = await rejection(KVCache.restore(saved, [layerShape(0)]), InvalidArgumentError);
    expect(unknown.message).to.include('"testOfMyOwn"');
    (await KVCache.restore(saved, [layerShape(0)], own)).dispose();
    registerPolicy('testOfMyOwn', () => own);
    (await KVCache.restore(saved, [layerShape(0)])).dispose();
    mine.dispose();
  });

  it('refuses other versions, other files, and any damage', async () => {
    const cache = new KVCache([layerShape(0)], full());
    take(cache, 2, 1);
    const bytes = await cache.save();
    cache.dispose();
    const refuse = (wrong: Uint8Array) => rejection(KVCache.restore(wrong, [layerShape(0)]), FormatError);
    for (const version of ['3', '5']) {
      const {message} = await refuse(withMetadata(bytes, metadata => (metadata['version'] = version)));
      expect(message).to.include(
        `version ${version}; this eigenkv reads version 4. Read it with the version that wrote it`,
      );
    }
    const other = await refuse(withMetadata(bytes, metadata => (metadata['kind'] = 'eigenkv calibration')));
    expect(other.message).to.include('not a snapshot');
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({min: 1, max: 255}), async (at, flip) => {
        const wrong = bytes.slice();
        wrong[at]! ^= flip;
        await refuse(wrong);
      }),
      {numRuns: 200},
    );
    for (let length = 0; length < bytes.length; length += 37) await refuse(bytes.subarray(0, length));
  });

  it('is bytes and nothing else', async () => {
    for (const given of [undefined, null, 'x', 5, [], {}, new ArrayBuffer(8)]) {
      const restored = KVCache.restore(given as Uint8Array, [layerShape(0)]);
      await rejection(restored, InvalidArgumentError, /restore got .*; expected the bytes of a snapshot/);
    }
    const waiting = Promise.resolve('bytes') as unknown as Uint8Array;
    await rejection(KVCache.restore(waiting, [layerShape(0)]), InvalidArgumentError, /await it/);
  });

  it('refuses shapes that would let a kernel read outside its tensors', async () => {
    const cache = new KVCache([layerShape(0)], quantized({sinks: 0, residual: 4, groupSize: 16}));
    take(cache, 50, 1);
    const bytes = await cache.save();
    const wrong: Record<string, (description: Description) => void> = {
      'more tokens': ({depths: [depth]}) => (depth!.recent.tokens += 1),
      'fewer tokens': ({depths: [depth]}) => (depth!.held[0]![1].tokens -= 16),
      'a torn group': ({depths: [depth]}) => (depth!.held[0]![1].tokens -= 1),
      'a later end': ({depths: [depth]}) => (depth!.tokensSeen += 1),
      'another run': ({depths: [depth]}) => (depth!.recent.positions += 1),
      'a batch': ({depths: [depth]}) => (depth!.batch = 2),
      'another dim': ({depths: [depth]}) => (depth!.recent.keys['dim'] = 8),
      'other bits': ({depths: [depth]}) => (depth!.held[0]![1].keys['bits'] = 4),
      'no bits': ({depths: [depth]}) => delete depth!.held[0]![1].keys['bits'],
      'other groups': ({depths: [depth]}) => (depth!.held[0]![1].keys['groupSize'] = 32),
      'another encoding': ({depths: [depth]}) => (depth!.held[0]![1].keys = {kind: 'dense', dim: 16}),
      'a second segment': ({depths: [depth]}) => depth!.held.push(['new', depth!.held[0]![1]]),
      'no segment': ({depths: [depth]}) => (depth!.held = []),
      'tensors of positions': ({depths: [depth]}) => (depth!.held[0]![1]['positions'] = null),
      'a key more': ({depths: [depth]}) => (depth!['more'] = 1),
      'no depth': description => (description.depths = []),
      'an endless text': ({depths: [depth]}) => (depth!.tokensSeen = 2 ** 40),
      'a rotation of no kind': ({depths: [depth]}) => (depth!['rope'] = {rotaryDim: 64}),
    };
    for (const [name, change] of Object.entries(wrong)) {
      const error = await KVCache.restore(changed(bytes, change), [layerShape(0)]).catch(
        (caught: unknown) => caught,
      );
      expect(error, name).to.be.instanceOf(FormatError);
    }
    cache.dispose();
  });

  it('refuses widths of bits that do not fit the model', async () => {
    const shape = layerShape(0, {heads: 4, kvHeads: 2});
    const store = {name: 'testLloydMax', options: {widths: [8, 3, 0]}};
    const cache = new KVCache([shape], policy({store, sinks: 0, recent: 4}));
    const make = (heads: number) => tf.randomNormal<tf.Rank.R4>([1, heads, 70, 16]);
    tf.tidy(() => void cache.attend(0, {queries: make(4), keys: make(2), values: make(2)}));
    const bytes = await cache.save();
    (await KVCache.restore(bytes, [shape])).dispose();
    const latents = ({depths: [depth]}: Description) => {
      const {keys} = depth!.held[0]![1];
      return keys['latents'] as {dim: number; widths: number[][]};
    };
    const wrong: Record<string, (description: Description) => void> = {
      'a head less': description => latents(description).widths.pop(),
      'a head more': description => latents(description).widths.push([4, 4]),
      'a group less': description => latents(description).widths[0]!.pop(),
      'other widths': description => (latents(description).widths[0]![0] = 4),
      '7 bits': description => (latents(description).widths[0]![0] = 7),
      'other channels': description => (latents(description).dim = 8),
      'a torn tile': ({depths: [depth]}) => (depth!.held[0]![1].tokens -= 1),
    };
    for (const [name, change] of Object.entries(wrong)) {
      const error = await KVCache.restore(changed(bytes, change), [shape]).catch((caught: unknown) => caught);
      expect(error, name).to.be.instanceOf(FormatError);
    }
    cache.dispose();
  });

  it('checks the positions of every token', async () => {
    const cache = new KVCache([layerShape(0)], h2o({heavyBudget: 8, recentBudget: 4}));
    take(cache, 40, 1);
    const bytes = await cache.save();
    cache.dispose();
    const file = await openSafetensors(bytesSource(bytes));
    const positions = await file.readFloat32('depth.0.held.stored.positions');
    const pattern = Buffer.from(positions.buffer);
    const at = Buffer.from(bytes).indexOf(pattern);
    for (const wrong of [-1, 40, 0.5, NaN, Infinity]) {
      const bad = bytes.slice();
      new DataView(bad.buffer).setFloat32(at, wrong, true);
      await rejection(KVCache.restore(withChecksum(bad), [layerShape(0)]), FormatError);
    }
  });

  it('returns a cache or a typed error for any JSON, and leaks no tensor', async () => {
    const cache = new KVCache([layerShape(0)], adaptive({residual: 4, groupSize: 4}));
    take(cache, 40, 1);
    const bytes = await cache.save();
    cache.dispose();
    const value = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.constantFrom(null, true, '', '__proto__', {}, [], -1),
    );
    await expectNoLeak(() =>
      fc.assert(
        fc.asyncProperty(fc.nat(), value, async (pick, put) => {
          const wrong = changed(bytes, description => {
            const places = placesIn(description);
            const [parent, key] = places[pick % places.length]!;
            parent[key] = put;
          });
          const restored = await KVCache.restore(wrong, [layerShape(0)]).catch((error: unknown) => error);
          if (restored instanceof KVCache) restored.dispose();
          else expect(restored).to.be.instanceOf(EigenkvError);
        }),
        {numRuns: 150, seed: 7},
      ),
    );
  });

  it('is refused if a forward pass stopped before all layers ran', async () => {
    const cache = new KVCache([layerShape(0), layerShape(1)]);
    tf.tidy(() => void cache.attend(0, fresh(2, 1)));
    await rejection(cache.save(), CacheStateError);
    cache.dispose();
  });
});

/** Every key of a JSON value and what it lies in. */
function placesIn(value: unknown): [Record<string, unknown>, string][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    [value as Record<string, unknown>, key] as [Record<string, unknown>, string],
    ...placesIn(inner),
  ]);
}
