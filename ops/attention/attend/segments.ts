import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../../base/errors.js';
import {mergePartials} from '../merge_partials/index.js';
import {defineOp, runOp} from '../../run_op.js';
import {checkAttend} from './checks.js';
import {attend} from './index.js';
import {hasKernels, oneByOne, optionsOfQueries} from './single_queries.js';
import {attendSegmentsWasm} from './segments_wasm.js';
import type {AttendedSegment} from './types.js';

export type {AttendedSegment} from './types.js';

/**
 * Attention over several segments, normalised: `mergePartials` of the results of `attend`, and as accurate. Up to 16 query tokens are one op
 * on wasm, since the time between two ops of a decoding step is longer than some of them take; everything else runs as single ops.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`.
 * @param segments disjoint runs of tokens, at least one.
 * @returns float32 `[batch, heads, queryTokens, dimV]`; zeros for a query that sees no token.
 * @throws InvalidArgumentError if shapes do not fit.
 */
export function attendSegments(queries: tf.Tensor4D, segments: readonly AttendedSegment[]): tf.Tensor4D {
  const [first] = segments;
  if (first === undefined)
    throw new InvalidArgumentError('attendSegments got no segment; it needs at least one.');
  for (const segment of segments) {
    const {keys, values} = segment;
    checkAttend(queries, keys, values, segment);
    if (values.dim !== first.values.dim) {
      throw new InvalidArgumentError(
        `Segments have values of dim ${first.values.dim} and ${values.dim}; all must be equal.`,
      );
    }
  }
  if (segments.every(hasKernels)) return attendAtOnce(queries, segments);
  return tf.tidy(() => {
    const ofQueries = segments.map(segment => optionsOfQueries(segment, queries.shape));
    return oneByOne(queries, (query, index) =>
      attendAtOnce(
        query,
        ofQueries.map(ofQuery => ofQuery(index)),
      ),
    );
  });
}

function attendAtOnce(queries: tf.Tensor4D, segments: readonly AttendedSegment[]): tf.Tensor4D {
  if (isFused(queries.shape, segments)) return runOp(attendSegmentsOp, {queries}, {segments});
  return tf.tidy(() => attendOneByOne({queries}, {segments}));
}

/** The partials of a long prompt are too large for scratch memory. */
const fewTokens = 16;

/**
 * Whether all segments are attended in one op. Not if a segment has no kernel, or if other ops have to come first: those that add what channels
 * without a rotation have of a rotated mean, or decode the basis that keys are rebuilt by.
 */
function isFused([, , queryTokens]: tf.Tensor4D['shape'], segments: readonly AttendedSegment[]): boolean {
  return (
    queryTokens <= fewTokens &&
    segments.every(({keys, keyRotation, softCap}) => {
      if (keys.kind !== 'lowRank') return true;
      if (keys.rotate === true) return keys.basis instanceof tf.Tensor;
      const {rotatedMean, dim, mean} = keys;
      if (mean !== undefined && softCap !== undefined) return false;
      return rotatedMean === undefined || keyRotation === undefined || 2 * keyRotation.cos.shape[1] === dim;
    })
  );
}

interface SegmentsAttributes {
  /** With their tensors: tfjs knows inputs by name only, and this is a list. */
  readonly segments: readonly AttendedSegment[];
}

function attendOneByOne({queries}: {queries: tf.Tensor4D}, {segments}: SegmentsAttributes): tf.Tensor4D {
  return mergePartials(segments.map(segment => attend(queries, segment.keys, segment.values, segment)));
}

const attendSegmentsOp = defineOp({
  name: 'AttendSegments',
  reference: attendOneByOne,
  kernels: {
    wasm: ({queries}, {segments}: SegmentsAttributes) => attendSegmentsWasm(queries, segments),
  },
});
