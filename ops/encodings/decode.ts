import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import {byHeads} from '../backends/webgpu_heads.js';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import {defineOp, runOp, type KernelInputs} from '../run_op.js';
import {capacityOf} from './encoding.js';
import type {Encoding} from './index.js';
import {type Basis, basisShape} from './low_rank.js';
import {kvHeadsOf, tokenKindOf, type TokenEncoding, type TokenLayout} from './token_kinds.js';
import './tensorflow.js';
import {describeEncoding} from './wasm.js';
import {decodeRows, unitsOfRow} from './webgpu.js';

/**
 * Decodes tokens `from .. from + count` of any encoding. For tests, inspection and conversion: attention never decodes more
 * than a tile. Keys stored before their rotation come back unrotated.
 *
 * @returns float32 `[batch, kvHeads, count, dim]`.
 * @throws InvalidArgumentError if the encoding does not hold these tokens.
 */
export function decodeEncoding(encoding: Encoding, from: number, count: number): tf.Tensor4D {
  const capacity = capacityOf(encoding);
  if (
    !Number.isInteger(from) ||
    !Number.isInteger(count) ||
    from < 0 ||
    count < 0 ||
    from + count > capacity
  ) {
    throw new InvalidArgumentError(
      `from = ${from} and count = ${count}; expected integers from 0 on that end within the encoding's ${capacity} tokens.`,
    );
  }
  if (encoding.kind !== 'lowRank') return decodeTokens(encoding, from, count);
  const {latents, basis, mean} = encoding;
  return tf.tidy(() => {
    const rebuilt: tf.Tensor4D = tf.matMul(decodeTokens(latents, from, count), floatBasis(basis));
    return mean === undefined ? rebuilt : tf.add(rebuilt, mean);
  });
}

/** A basis as float32 `[batch, kvHeads, rank, dim]`: the tensor itself, or what its codes decode to. */
export function floatBasis(basis: Basis): tf.Tensor4D {
  return basis instanceof tf.Tensor ? basis : decodeTokens(basis, 0, basisShape(basis)[2]);
}

/** What later tokens of a run take from an encoding of earlier ones: a float32 basis, and a mean; undefined if it is not of low rank. */
export function sharedBasis(
  encoding: Encoding | undefined,
): {readonly basis: tf.Tensor4D; readonly mean?: tf.Tensor4D} | undefined {
  if (encoding?.kind !== 'lowRank') return undefined;
  const {basis, mean} = encoding;
  return {basis: floatBasis(basis), ...(mean && {mean})};
}

function decodeTokens(encoding: TokenEncoding, from: number, count: number): tf.Tensor4D {
  const kind = tokenKindOf(encoding);
  const inputs = {data: kind.data(encoding), params: kind.params(encoding)};
  return runOp(decodeOp, inputs, {layout: kind.layout(encoding), from, count});
}

/**
 * Tokens of an encoding as ops take it: float32 `[batch, kvHeads, count, dim]`. For references, which thereby read codes on GPU backends
 * as well, by the shader that decodes. Dense numbers are a slice, which has a gradient.
 */
export function decodeTile(
  layout: TokenLayout,
  data: tf.Tensor4D,
  params: tf.Tensor4D | undefined,
  from: number,
  count: number,
): tf.Tensor4D {
  if (layout.kind === 'dense') return tokenKindOf(layout).decodeReference(data, params, layout, from, count);
  return runOp(decodeOp, {data, params}, {layout, from, count});
}

type DecodeInputs = {data: tf.Tensor4D; params?: tf.Tensor4D};
type DecodeInfos = KernelInputs<DecodeInputs>;

interface DecodeAttributes {
  readonly layout: TokenLayout;
  readonly from: number;
  readonly count: number;
}

const decodeOp = defineOp({
  name: 'DecodeTokens',
  reference: ({data, params}: DecodeInputs, {layout, from, count}: DecodeAttributes) =>
    tokenKindOf(layout).decodeReference(data, params, layout, from, count),
  kernels: {
    wasm: decodeWasm,
    webgpu: byHeads(decodeWebgpu, 'data', numbersOfHead),
  },
});

function decodeWasm({data, params}: DecodeInfos, {layout, from, count}: DecodeAttributes): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, kvHeads] = [data.shape[0], kvHeadsOf(layout, data)];
  const out = heap.output([batch, kvHeads, count, layout.dim], 'float32');
  const descriptor = heap.words(describeEncoding(heap, layout, data, params));
  const scratch = heap.scratch(heap.kernels.decodeTokensScratch());
  heap.kernels.decodeTokens(descriptor, batch * kvHeads, from, count, heap.address(out), scratch);
  return out;
}

/** Numbers of the result for each index of the first two axes of the data. */
function numbersOfHead({data}: DecodeInfos, {layout, count}: DecodeAttributes): number {
  return count * layout.dim * (kvHeadsOf(layout, data) / data.shape[1]);
}

function decodeWebgpu({data, params}: DecodeInfos, {layout, from, count}: DecodeAttributes): tf.TensorInfo {
  const [batch, , dataRows] = data.shape;
  const kvHeads = kvHeadsOf(layout, data);
  return webgpuPrograms()!.run(
    decodeShader,
    {
      constants: layout,
      inputs: {data, params},
      uniforms: {first: from, count, dataRows, paramRows: params?.shape[2] ?? 0},
      work: batch * kvHeads * count * unitsOfRow(layout),
    },
    [batch, kvHeads, count, layout.dim],
  );
}

/** One invocation per unit. */
export const decodeShader: Shader<TokenLayout, 'first' | 'count' | 'dataRows' | 'paramRows'> = {
  name: 'DecodeTokens',
  uniforms: integers('first', 'count', 'dataRows', 'paramRows'),
  code: layout =>
    decodeRows(layout, {
      ...{data: 'data', params: 'params'},
      ...{dataRows: 'uniforms.dataRows', paramRows: 'uniforms.paramRows'},
    }),
};
