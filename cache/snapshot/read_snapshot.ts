import * as tf from '@tensorflow/tfjs';
import {crc32} from '../../base/crc32.js';
import {FormatError, InvalidArgumentError, shown} from '../../base/errors.js';
import {bytesSource} from '../../base/files/byte_source.js';
import {readSafetensorsHeader} from '../../base/files/safetensors.js';
import type {StoredTensor} from '../../base/files/tensor_file.js';
import {groupChannels, tileTokens} from '../../ops/encodings/lloyd_max_layout.js';
import {ropeFrequencies} from '../../ops/rotate/rope.js';
import {arrivedTensor} from '../../ops/host_numbers.js';
import type {DenseSegment, QueryWindow, Segment, Undecided} from '../past/past.js';
import type {SavedDepth} from './write_snapshot.js';
import {
  type DepthDescription,
  type Description,
  type SegmentDescription,
  damaged,
  parseDescription,
} from './description.js';
import {type EncodingLayout, type TensorSpec, encodingOfLayout} from './encoding_layout.js';
import {checksumBytes, checksumName, snapshotKind, snapshotVersion} from './write_snapshot.js';

/** A snapshot whose checksum was verified and whose JSON was parsed. */
export interface OpenSnapshot {
  readonly description: Description;
  /** The fingerprint of the model's weights, if they were known. */
  readonly fingerprint?: string;
  /**
   * Returns the state of each depth; undefined for depths that have seen no token. Inside the caller's tidy. Call it after the description
   * was compared with the model, because shapes of tensors are checked against the description.
   * @throws FormatError if the tensors do not match the description.
   */
  depths(): (SavedDepth | undefined)[];
}

/**
 * Verifies and parses the bytes of a snapshot.
 * @throws InvalidArgumentError if they are no bytes; FormatError if they are not a snapshot, of another version, or damaged.
 */
export async function openSnapshot(bytes: Uint8Array): Promise<OpenSnapshot> {
  const given: unknown = bytes;
  if (!(given instanceof Uint8Array)) {
    const what = given instanceof Promise ? 'a promise: await it' : shown(given);
    throw new InvalidArgumentError(
      `KVCache.restore got ${what}; expected the bytes of a snapshot, a Uint8Array, as cache.save() returns.`,
    );
  }
  const {tensors, metadata} = await readSafetensorsHeader(bytesSource(bytes, 'This snapshot'));
  if (metadata.get('kind') !== snapshotKind) {
    throw new FormatError('These bytes are not a snapshot of a cache; give the result of cache.save().');
  }
  const version = metadata.get('version');
  if (version !== String(snapshotVersion)) {
    throw new FormatError(
      `This snapshot is of version ${version ?? '(none)'}; this eigenkv reads version ${snapshotVersion}. ` +
        'Read it with the version that wrote it, or compute the text again.',
    );
  }
  checkSum(bytes, tensors.get(checksumName));
  const description = parseDescription(metadata.get('cache') ?? '');
  const fingerprint = metadata.get('fingerprint');
  return {
    description,
    ...(fingerprint !== undefined && {fingerprint}),
    depths: () => {
      const reader = new TensorReader(bytes, tensors);
      const depths = description.depths.map((depth, index) =>
        depth === null ? undefined : new DepthReader(reader, description, depth, index).read(),
      );
      reader.expectAllRead();
      return depths;
    },
  };
}

function checkSum(bytes: Uint8Array, stored: StoredTensor | undefined): void {
  const end = bytes.length - checksumBytes;
  if (stored?.offset !== end || stored.byteLength !== checksumBytes) {
    throw new FormatError('This snapshot has no checksum at its end; save the cache again.');
  }
  const expected = new DataView(bytes.buffer, bytes.byteOffset + end).getUint32(0, true);
  if (crc32(bytes.subarray(0, end)) !== expected) {
    throw new FormatError(
      'This snapshot is damaged: its checksum does not match its bytes. Use another copy, or compute the text again.',
    );
  }
}

/** Makes tensors from the bytes of a snapshot; each can be read once. */
class TensorReader {
  private readonly read = new Set<string>([checksumName]);

  constructor(
    private readonly bytes: Uint8Array,
    private readonly tensors: ReadonlyMap<string, StoredTensor>,
  ) {}

  tensor<R extends tf.Rank>(name: string, dtype: 'float32' | 'int32', shape: number[]): tf.Tensor<R> {
    return tf.tensor<R>(this.numbers(name, dtype, shape), shape as tf.ShapeMap[R], dtype);
  }

  numbers(name: string, dtype: 'float32' | 'int32', shape: number[]): Float32Array | Int32Array {
    const stored = this.tensors.get(name);
    const wanted = dtype === 'int32' ? 'I32' : 'F32';
    if (stored?.dtype !== wanted || stored.shape.join() !== shape.join() || this.read.has(name)) {
      const given = stored ? `${stored.dtype} [${stored.shape.join(', ')}]` : 'missing';
      throw damaged(`the tensor ${name} is ${given}; expected ${wanted} [${shape.join(', ')}]`);
    }
    this.read.add(name);
    // a copy, which is aligned and which the backend may keep (slice of Node's Buffer would not copy)
    const {buffer} = Uint8Array.from(this.bytes.subarray(stored.offset, stored.offset + stored.byteLength));
    return dtype === 'int32' ? new Int32Array(buffer) : new Float32Array(buffer);
  }

  expectAllRead(): void {
    if (this.read.size !== this.tensors.size) {
      throw damaged(`it has ${this.tensors.size} tensors, but describes ${this.read.size} of them`);
    }
  }
}

/** Reads one depth. Shapes and positions are checked here, because kernels trust them. */
class DepthReader {
  private readonly prefix: string;
  private readonly layerShape: Description['rows'][number];

  constructor(
    private readonly reader: TensorReader,
    {rows}: Description,
    private readonly depth: DepthDescription,
    index: number,
  ) {
    this.prefix = `depth.${index}`;
    this.layerShape = rows[index]!;
  }

  read(): SavedDepth {
    const {tokensSeen, events, scale, window, softCap, alibi, relativeBias, rope, queries} = this.depth;
    const {undecided, extras} = this.depth;
    if (rope) this.checkRope(rope);
    const held = this.depth.held.map(
      ([name, segment]) => [name, this.segment(segment, `held.${name}`)] as const,
    );
    const recent = this.recent();
    const holdsNone = held.every(([, {tokens}]) => tokens === 0) && recent.tokens === 0;
    if (holdsNone && window !== 1) throw damaged('it holds no token');
    const carried = extras.map(
      ({name, dtype, shape}) =>
        [name, this.reader.tensor(`${this.prefix}.extras.${name}`, dtype, shape)] as const,
    );
    return {
      past: {
        held: Object.fromEntries(held),
        recent,
        tokensSeen,
        events,
        ...(queries && {queries: this.queries(queries)}),
        ...(relativeBias !== undefined && {relativeBias: this.relativeBias(relativeBias)}),
        ...(undecided && {undecided: this.undecided(undecided)}),
        ...(carried.length > 0 && {extras: Object.fromEntries(carried)}),
      },
      ...{scale, window, softCap, alibi},
      ...(rope && {rope}),
    };
  }

  private recent(): DenseSegment {
    const {keys, values, positions, ...segment} = this.segment(this.depth.recent, 'recent');
    if (keys.kind !== 'dense' || values.kind !== 'dense' || typeof positions !== 'number') {
      throw damaged(`${this.prefix}.recent is not a run of exact tokens`);
    }
    if (positions + segment.tokens !== this.depth.tokensSeen) {
      throw damaged(`${this.prefix}.recent ends at token ${positions + segment.tokens}, not the last one`);
    }
    return {...segment, keys, values, positions};
  }

  private relativeBias(distances: number): tf.Tensor2D {
    const {heads, kvHeads} = this.layerShape;
    if (heads !== kvHeads) throw damaged(`${this.prefix} has relative biases, and heads that share keys`);
    return this.reader.tensor(`${this.prefix}.relativeBias`, 'float32', [heads, distances]);
  }

  private queries({tokens, dim}: NonNullable<DepthDescription['queries']>): QueryWindow {
    const {heads, dim: keyDim, headDim = keyDim} = this.layerShape;
    const {batch, tokensSeen} = this.depth;
    if (tokens > tokensSeen) throw damaged(`${this.prefix} has ${tokens} queries of ${tokensSeen} tokens`);
    if (dim !== keyDim && dim !== headDim) {
      throw damaged(`${this.prefix} has queries of ${dim} numbers, the model has ${headDim}`);
    }
    const shape = [batch, heads, tokens, dim];
    return {data: this.reader.tensor(`${this.prefix}.queries`, 'float32', shape), tokens};
  }

  /** What was asked has been read by now, so that the decision is made at the step at which it would have been. */
  private undecided({from, tokens, shapes}: NonNullable<DepthDescription['undecided']>): Undecided {
    const numbers = shapes.map((shape, part) => {
      const read = this.reader.numbers(`${this.prefix}.undecided.${part}`, 'float32', shape);
      return arrivedTensor(read as Float32Array, shape);
    });
    return {from, tokens, numbers};
  }

  private segment(
    {tokens, positions, keys, values, scores, biased}: SegmentDescription,
    name: string,
  ): Segment {
    const prefix = `${this.prefix}.${name}`;
    const encoding = (layout: EncodingLayout, side: string, dim: number) => {
      checkLayout(layout, {dim, tokens, kvHeads: this.layerShape.kvHeads}, `${prefix}.${side}`);
      return encodingOfLayout(layout, this.layerShape.kvHeads, tokens, (part, spec) =>
        this.rows(`${prefix}.${side}.${part}`, spec),
      );
    };
    return {
      keys: encoding(keys, 'keys', this.layerShape.dim),
      values: encoding(values, 'values', this.layerShape.dimV),
      tokens,
      positions: positions === null ? this.positions(prefix, tokens) : this.run(prefix, positions, tokens),
      ...(scores !== undefined && {
        scores: this.reader.tensor<tf.Rank.R4>(`${prefix}.scores`, 'float32', this.shape(scores, 1)),
      }),
      ...(biased && {
        bias: this.reader.tensor<tf.Rank.R4>(`${prefix}.bias`, 'float32', this.shape(tokens, 1)),
      }),
    };
  }

  /** A buffer without spare capacity; at least one row, because tensors must not be empty. */
  private rows(name: string, {dtype, heads, rows, columns}: TensorSpec): tf.Tensor4D {
    const {batch} = this.depth;
    const read = this.reader.tensor<tf.Rank.R4>(name, dtype, [batch, heads, rows, columns]);
    return rows > 0 ? read : tf.zeros<tf.Rank.R4>([batch, heads, 1, columns], dtype);
  }

  private run(prefix: string, first: number, tokens: number): number {
    if (first + tokens <= this.depth.tokensSeen) return first;
    throw damaged(`${prefix} ends at token ${first + tokens} of ${this.depth.tokensSeen}`);
  }

  private positions(prefix: string, tokens: number): tf.Tensor4D {
    const shape = this.shape(tokens, 1);
    const numbers = this.reader.numbers(`${prefix}.positions`, 'float32', shape);
    const {tokensSeen} = this.depth;
    const wrong = numbers.find(at => !(Number.isInteger(at) && at >= 0 && at < tokensSeen));
    if (wrong !== undefined) throw damaged(`${prefix} has a token at position ${wrong} of ${tokensSeen}`);
    return tf.tensor4d(numbers, shape);
  }

  private shape(rows: number, columns: number): [number, number, number, number] {
    return [this.depth.batch, this.layerShape.kvHeads, rows, columns];
  }

  private checkRope(rope: NonNullable<DepthDescription['rope']>): void {
    try {
      ropeFrequencies(rope, this.layerShape.dim);
    } catch (cause) {
      throw new FormatError(`This snapshot has an invalid rotary configuration at ${this.prefix}.`, {
        cause,
      });
    }
  }
}

interface Held {
  readonly dim: number;
  readonly kvHeads: number;
  readonly tokens: number;
}

function checkLayout(layout: EncodingLayout, held: Held, name: string): void {
  const {dim, kvHeads, tokens} = held;
  if (layout.dim !== dim) throw damaged(`${name} have ${layout.dim} numbers per token, the model has ${dim}`);
  if (layout.kind === 'lowRank') {
    if (layout.rank > dim) throw damaged(`${name} have rank ${layout.rank} of ${dim}`);
    checkLayout(layout.latents, {...held, dim: layout.rank}, `${name}.latents`);
  }
  if (layout.kind === 'integer' && layout.groupAxis === 'channel' && tokens % layout.groupSize !== 0) {
    throw damaged(`${name} have ${tokens} tokens, not a multiple of their group size ${layout.groupSize}`);
  }
  if (layout.kind === 'lloydMax') {
    const groups = layout.widths.map(({length}) => length);
    if (groups.length !== kvHeads || groups.some(length => length * groupChannels !== dim)) {
      throw damaged(
        `${name} have widths of [${groups.join(', ')}] groups; expected ${dim / groupChannels} for each of ${kvHeads} heads`,
      );
    }
    if (tokens % tileTokens !== 0)
      throw damaged(`${name} have ${tokens} tokens, not a multiple of ${tileTokens}`);
  }
}
