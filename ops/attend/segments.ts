import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {InvalidArgumentError} from '../errors.js';
import type {Form} from '../forms.js';
import {mergePartials} from '../merge_partials/index.js';
import {defineOp, runOp} from '../run_op.js';
import {
  attend,
  attendOp,
  checkAttend,
  storedSegment,
  type AttendAttributes,
  type AttendInputs,
  type AttendOptions,
  type Partial,
  type SegmentInputs,
} from './index.js';
import {attendInto, attendWorkBytes, type AttendInfos} from './wasm.js';

/** A run of stored tokens, and how queries look at it. */
export interface AttendedSegment extends Omit<AttendOptions, 'scale'> {
  readonly keys: Form;
  readonly values: Form;
}

/**
 * Attention over several segments, normalised: `mergePartials` of what `attend` gives for each, and as right. Up to 16 query
 * tokens over forms of single tokens are one op on wasm, since between two ops of a decoding step lies more time than some of
 * them take; what else there is are the single ops.
 *
 * @param queries float32 `[batch, heads, queryTokens, dim]`.
 * @param segments disjoint runs of tokens, at least one.
 * @param scale factor of the scores.
 * @returns float32 `[batch, heads, queryTokens, dimV]`; zeros for a query that sees no token.
 * @throws InvalidArgumentError where shapes do not fit.
 */
export function attendSegments(
  queries: tf.Tensor4D,
  segments: readonly AttendedSegment[],
  scale: number,
): tf.Tensor4D {
  const stored: {inputs: SegmentInputs; attributes: AttendAttributes}[] = [];
  for (const {keys, values, ...options} of segments) {
    // latents have a basis to be met in; and the partials of a long prompt are too large for scratch memory
    if (keys.kind === 'lowRank' || values.kind === 'lowRank' || queries.shape[2] > fewTokens) {
      return tf.tidy(() => mergePartials(segments.map(segment => attendOne(queries, segment, scale))));
    }
    checkAttend(queries, keys, values, {...options, scale});
    if (values.dim !== segments[0]!.values.dim) {
      throw new InvalidArgumentError(
        `Segments have values of dim ${segments[0]!.values.dim} and ${values.dim}; all must be equal.`,
      );
    }
    stored.push(storedSegment(keys, values, {...options, scale}));
  }
  if (stored.length === 0)
    throw new InvalidArgumentError('attendSegments got no segment; it needs at least one.');
  const inputs: Record<string, tf.Tensor> & {queries: tf.Tensor} = {queries};
  for (const [index, segment] of stored.entries()) {
    for (const [role, tensor] of Object.entries(segment.inputs)) inputs[`${role}${index}`] = tensor;
  }
  return runOp(attendSegmentsOp, inputs, {segments: stored.map(({attributes}) => attributes)}) as tf.Tensor4D;
}

const fewTokens = 16;

function attendOne(queries: tf.Tensor4D, segment: AttendedSegment, scale: number): Partial {
  const {keys, values, ...options} = segment;
  return attend(queries, keys, values, {...options, scale});
}

/** `queries`, and the tensors of each segment by role and index: `keyData0`. */
type Named<T> = Readonly<Record<string, T>> & {readonly queries: T};

interface SegmentsAttributes {
  readonly segments: readonly AttendAttributes[];
}

/** The inputs of `attend` for one segment. */
function inputsOf<T>(inputs: Named<T>, index: number): {[Name in keyof AttendInputs]: T} {
  const own: Record<string, T> = {queries: inputs.queries};
  for (const role of roles) {
    const tensor = inputs[`${role}${index}`];
    if (tensor !== undefined) own[role] = tensor;
  }
  return own as {[Name in keyof AttendInputs]: T};
}

const roles = [
  'keyData',
  'keyParams',
  'keyBasis',
  'keyMean',
  'cos',
  'sin',
  'positions',
  'valueData',
  'valueParams',
] as const satisfies (keyof SegmentInputs)[];

export const attendSegmentsOp = defineOp<Named<tf.Tensor>, SegmentsAttributes>({
  name: 'AttendSegments',
  reference: (inputs, {segments}) =>
    mergePartials(
      segments.map((attributes, index) => runOp(attendOp, inputsOf(inputs, index), attributes) as Partial),
    ),
  kernels: {wasm: attendSegmentsWasm},
});

/** The kernels of `attend` and `mergePartials` in turn; partials lie in scratch memory. */
function attendSegmentsWasm(infos: Named<tf.TensorInfo>, {segments}: SegmentsAttributes): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, queryTokens] = infos.queries.shape as [number, number, number];
  const rows = batch * heads * queryTokens;
  const dim = segments[0]!.values.dim;
  const output = heap.output([batch, heads, queryTokens, dim], 'float32');
  const inputs: AttendInfos[] = segments.map((_, index) => inputsOf(infos, index));
  const workBytes = Math.max(
    ...segments.map((attributes, index) => attendWorkBytes(inputs[index]!, attributes)),
  );
  const partialBytes = 4 * rows * (dim + 2);
  const partials = heap.scratch(segments.length * (partialBytes + 4) + workBytes + 16);
  const addresses = segments.map((_, index) => partials + index * partialBytes);
  const listed = partials + segments.length * partialBytes;
  const work = Math.ceil((listed + 4 * segments.length) / 16) * 16;
  for (const [index, attributes] of segments.entries()) {
    attendInto(addresses[index]!, heap, inputs[index]!, attributes, work);
  }
  heap.store(listed, addresses);
  heap.kernels.mergePartials(listed, segments.length, heap.address(output), rows, dim);
  return output;
}
