import type * as tf from '@tensorflow/tfjs';
import {crc32} from '../../base/crc32.js';
import {CacheStateError} from '../../base/errors.js';
import {withoutUndefined} from '../../base/records.js';
import {type TensorToWrite, writeSafetensors} from '../../base/files/write_safetensors.js';
import type {Scoring} from '../../ops/attention/scoring.js';
import type {RopeConfig} from '../../ops/rotate/rope.js';
import {specOf} from '../../base/options.js';
import {type Encoding, headsOf, tensorsOf} from '../../ops/encodings/encoding.js';
import type {Past, QueryWindow, Segment, Undecided} from '../past/past.js';
import {queriesKept} from '../past/query_window.js';
import type {CacheState} from '../state.js';
import type {DepthDescription, Description, SegmentDescription} from './description.js';
import {encodingLayout} from './encoding_layout.js';

export const snapshotKind = 'eigenkv cache';
/**
 * Version 2: policies consist of keepers and codecs, and the first tokens stay exact. Version 3: zero points of integer codes are float16,
 * which a reader of version 2 would take for integers, keys may have a rotated mean, and a basis may be codes. Version 4: the newest tokens of
 * `transform` are in the segment `finest`, not `near`, and tokens may have biases.
 */
export const snapshotVersion = 4;

/** The last tensor: the CRC-32 of every byte before it, little endian. */
export const checksumName = 'crc32';
export const checksumBytes = 4;

/** One depth of a cache that holds tokens. */
export interface SavedDepth extends Omit<Scoring, 'relativeBias'> {
  readonly past: Past;
  /** How the stored keys were rotated; absent in models without rotary positions. */
  readonly rope?: RopeConfig;
}

/**
 * Returns a cache as the bytes of a safetensors file: its tensors without spare capacity, and one JSON text in the metadata. Besides the
 * result, one tensor is in memory at a time. The cache must not change meanwhile.
 *
 * @param fingerprint the fingerprint of the model's weights, if they are known.
 * @throws CacheStateError if a codec keeps extra tensors that are neither float32 nor int32.
 */
export async function writeSnapshot(state: CacheState, fingerprint: string | undefined): Promise<Uint8Array> {
  const tensors: TensorToWrite[] = [];
  const {shapes, policies, expectedTokens, beyondContext} = state;
  const description: Description = {
    rows: shapes.map(({heads, kvHeads, dim, dimV, headDim}) => ({
      ...{heads, kvHeads, dim, dimV},
      ...(headDim !== undefined && {headDim}),
    })),
    policies: policies.map(specOf),
    ...(policies.some(({store}) => store.tables !== undefined) && {
      tables: policies.map(({store}) => store.tables ?? null),
    }),
    ...(expectedTokens !== undefined && {expectedTokens}),
    beyondContext,
    depths: state.pasts.map((past, index) => {
      if (past === undefined) return null;
      const {rope, latents, ...scoring} = state.seen[index]!;
      const most = queriesKept(policies[index]!.keep) ?? 0;
      return describeDepth({past, ...scoring, rope: rope?.config}, most, `depth.${index}`, tensors);
    }),
  };
  tensors.push({
    name: checksumName,
    dtype: 'U8', // the narrowest dtype, so that it is written last
    shape: [checksumBytes],
    data: () => new Uint8Array(checksumBytes), // set below
  });
  const bytes = await writeSafetensors(tensors, {
    metadata: {
      kind: snapshotKind,
      version: String(snapshotVersion),
      ...(fingerprint !== undefined && {fingerprint}),
      cache: JSON.stringify(description),
    },
  });
  const end = bytes.length - checksumBytes;
  new DataView(bytes.buffer).setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** @param most how many of the newest queries the keeper asks for. */
function describeDepth(
  {past, scale, window, softCap, alibi, rope}: SavedDepth,
  most: number,
  prefix: string,
  tensors: TensorToWrite[],
): DepthDescription {
  const {held, recent, queries, tokensSeen, relativeBias, undecided, extras = {}, events} = past;
  if (relativeBias) tensors.push(toWrite(`${prefix}.relativeBias`, relativeBias, relativeBias.shape));
  return {
    batch: headsOf(recent.keys).batch,
    tokensSeen,
    events: {...events},
    scale,
    ...(window !== undefined && {window}),
    ...(softCap !== undefined && {softCap}),
    ...(alibi === true && {alibi}),
    ...(relativeBias && {relativeBias: relativeBias.shape[1]}),
    ...(rope && {rope: withoutUndefined(rope)}),
    held: Object.entries(held).map(([name, segment]) => [
      name,
      describeSegment(segment, `${prefix}.held.${name}`, tensors),
    ]),
    recent: describeSegment(recent, `${prefix}.recent`, tensors),
    ...(queries && {queries: describeQueries(queries, most, prefix, tensors)}),
    ...(undecided && {undecided: describeUndecided(undecided, prefix, tensors)}),
    extras: Object.entries(extras).map(([name, tensor]) => {
      tensors.push(toWrite(`${prefix}.extras.${name}`, tensor, tensor.shape));
      return {name, dtype: tensor.dtype === 'int32' ? 'int32' : 'float32', shape: [...tensor.shape]};
    }),
  };
}

function describeQueries(
  {data, tokens: held}: QueryWindow,
  most: number,
  prefix: string,
  tensors: TensorToWrite[],
): NonNullable<DepthDescription['queries']> {
  const tokens = Math.min(held, most);
  const [batch, heads, , dim] = data.shape;
  tensors.push(toWrite(`${prefix}.queries`, data, [batch, heads, tokens, dim], held - tokens));
  return {tokens, dim};
}

function describeUndecided(
  {from, tokens, numbers}: Undecided,
  prefix: string,
  tensors: TensorToWrite[],
): NonNullable<DepthDescription['undecided']> {
  tensors.push(
    ...numbers.map((tensor, part) => toWrite(`${prefix}.undecided.${part}`, tensor, tensor.shape)),
  );
  return {from, tokens, shapes: numbers.map(({shape}) => [...shape])};
}

function describeSegment(
  {keys, values, tokens, positions, scores, bias}: Segment,
  prefix: string,
  tensors: TensorToWrite[],
): SegmentDescription {
  for (const [side, encoding] of Object.entries({keys, values})) {
    tensors.push(...encodingToWrite(encoding, tokens, `${prefix}.${side}`));
  }
  if (typeof positions !== 'number') {
    tensors.push(toWrite(`${prefix}.positions`, positions, withRows(positions, tokens)));
  }
  if (scores) tensors.push(toWrite(`${prefix}.scores`, scores, scores.shape));
  if (bias) tensors.push(toWrite(`${prefix}.bias`, bias, bias.shape));
  return {
    tokens,
    positions: typeof positions === 'number' ? positions : null,
    keys: encodingLayout(keys),
    values: encodingLayout(values),
    ...(scores && {scores: scores.shape[2]}),
    ...(bias && {biased: true as const}),
  };
}

function encodingToWrite(encoding: Encoding, tokens: number, prefix: string): TensorToWrite[] {
  return Object.entries(tensorsOf(encoding)).map(([name, {tensor, tokensPerRow}]) =>
    toWrite(
      `${prefix}.${name}`,
      tensor,
      tokensPerRow === Infinity ? tensor.shape : withRows(tensor, tokens / tokensPerRow),
    ),
  );
}

function withRows({shape: [batch, kvHeads, , columns]}: tf.Tensor4D, rows: number): number[] {
  return [batch, kvHeads, rows, columns];
}

/** A tensor to write with the given shape, which may have fewer rows (next-to-last axis) than the tensor: those from `first` on. */
function toWrite(name: string, tensor: tf.Tensor, shape: number[], first = 0): TensorToWrite {
  const rows = shape.at(-2) ?? 1;
  const stride = tensor.shape.at(-2) ?? 1;
  const columns = shape.at(-1) ?? 1;
  switch (tensor.dtype) {
    case 'float32':
      return {
        ...{name, shape, dtype: 'F32'},
        data: async () => rowsFrom(await tensor.data<'float32'>(), first, rows, stride, columns),
      };
    case 'int32':
      return {
        ...{name, shape, dtype: 'I32'},
        data: async () => rowsFrom(await tensor.data<'int32'>(), first, rows, stride, columns),
      };
    default:
      throw new CacheStateError(
        `The tensor ${name} is ${tensor.dtype}; a snapshot holds only float32 and int32: cast it in the codec that makes it.`,
      );
  }
}

/** Returns the rows `first .. first + rows` of each block of `stride` rows. */
function rowsFrom<Numbers extends Float32Array | Int32Array>(
  numbers: Numbers,
  first: number,
  rows: number,
  stride: number,
  columns: number,
): Numbers {
  if (rows === stride) return numbers;
  const blocks = numbers.length / (stride * columns);
  const length = rows * columns;
  // in place, because blocks only move to the front; of a copy, because a backend may return its own memory
  const packed = numbers.slice() as Numbers;
  for (let block = 0; block < blocks; block++) {
    const from = (block * stride + first) * columns;
    packed.copyWithin(block * length, from, from + length);
  }
  return packed.subarray(0, blocks * length) as Numbers;
}
