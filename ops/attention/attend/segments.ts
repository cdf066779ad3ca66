import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {mergePartials} from '../merge_partials/index.js';
import {defineOp, runOp, type KernelInputs} from '../../run_op.js';
import {checkAttend} from './checks.js';
import {attend, attendOp, storedSegment} from './index.js';
import type {AttendedSegment, StoredSegment} from './types.js';
import {attendInto, attendScratch, describeSegment, segmentBytes} from './wasm.js';

export type {AttendedSegment} from './types.js';

/**
 * Attention over several segments, normalised: `mergePartials` of the results of `attend`, and as accurate. Up to 16 query
 * tokens over token encodings are one op on wasm, since the time between two ops of a decoding step is longer than some of
 * them take; everything else runs as single ops.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`.
 * @param segments disjoint runs of tokens, at least one.
 * @returns float32 `[batch, heads, queryTokens, dimV]`; zeros for a query that sees no token.
 * @throws InvalidArgumentError if shapes do not fit.
 */
export function attendSegments(queries: tf.Tensor4D, segments: readonly AttendedSegment[]): tf.Tensor4D {
  // the partials of a long prompt are too large for scratch memory
  const stored = queries.shape[2] > fewTokens ? undefined : storedSegments(queries, segments);
  if (stored !== undefined) return runOp(attendSegmentsOp, {queries}, {segments: stored});
  return tf.tidy(() =>
    mergePartials(segments.map(segment => attend(queries, segment.keys, segment.values, segment))),
  );
}

/**
 * The segments as the kernel takes them; undefined if one has latents, since queries have to be projected to their basis first.
 */
function storedSegments(
  queries: tf.Tensor4D,
  segments: readonly AttendedSegment[],
): StoredSegment[] | undefined {
  const [first] = segments;
  if (first === undefined)
    throw new InvalidArgumentError('attendSegments got no segment; it needs at least one.');
  const stored: StoredSegment[] = [];
  for (const segment of segments) {
    const {keys, values} = segment;
    if (keys.kind === 'lowRank' || values.kind === 'lowRank') return undefined;
    checkAttend(queries, keys, values, segment.tokens);
    if (values.dim !== first.values.dim) {
      throw new InvalidArgumentError(
        `Segments have values of dim ${first.values.dim} and ${values.dim}; all must be equal.`,
      );
    }
    stored.push(storedSegment(keys, values, segment));
  }
  return stored;
}

const fewTokens = 16;

interface SegmentsAttributes {
  /** With their tensors: tfjs knows inputs by name only, and this is a list. */
  readonly segments: readonly StoredSegment[];
}

const attendSegmentsOp = defineOp({
  name: 'AttendSegments',
  reference: ({queries}: {queries: tf.Tensor4D}, {segments}: SegmentsAttributes) =>
    mergePartials(segments.map(({inputs, attributes}) => runOp(attendOp, {queries, ...inputs}, attributes))),
  kernels: {wasm: attendSegmentsWasm},
});

/** The kernels of `attend` and `mergePartials` in turn; partials lie in scratch memory. */
function attendSegmentsWasm(
  {queries}: KernelInputs<{queries: tf.Tensor4D}>,
  {segments}: SegmentsAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, queryTokens] = queries.shape;
  const rows = batch * heads * queryTokens;
  const dim = segments[0]!.attributes.values.dim;
  const output = heap.output([batch, heads, queryTokens, dim], 'float32');
  let words: number[] = [];
  for (const segment of segments) words = words.concat(describeSegment(heap, segment)); // flatMap takes ten times longer
  const described = heap.words(words);
  const addressOf = (index: number) => described + index * segmentBytes;
  const workBytes = Math.max(
    ...segments.map((segment, index) => attendScratch(heap, queries, segment, addressOf(index))),
  );
  const work = heap.scratch(workBytes + segments.length * 4 * rows * (dim + 2));
  const partials = segments.map((_, index) => work + workBytes + index * 4 * rows * (dim + 2));
  for (const [index, segment] of segments.entries()) {
    attendInto(partials[index]!, heap, queries, segment, addressOf(index), work);
  }
  heap.kernels.mergePartials(heap.words(partials), segments.length, heap.address(output), rows, dim);
  return output;
}
