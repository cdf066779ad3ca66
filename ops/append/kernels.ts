import type {DirectOp} from '../run_op.js';
import type * as tf from '@tensorflow/tfjs';
import {appendRowsCpu} from './cpu.js';
import {inPlace} from './in_place.js';
import type {AppendAttributes, AppendInputs} from './reference.js';
import {allocateWasm, appendRowsWasm} from './wasm.js';
import {appendRowsWebgpu, rowsOfBuffer} from './webgpu.js';

type Kernels = DirectOp<AppendInputs, AppendAttributes, tf.Tensor4D>['directKernels'];

/** `append` where rows are written in place. That of tensorflow puts itself here (see `registerKernel`). */
export const appendKernels: {-readonly [Backend in keyof Kernels]: Kernels[Backend]} = {
  cpu: inPlace(appendRowsCpu),
  wasm: inPlace(appendRowsWasm, {allocate: allocateWasm}),
  webgpu: inPlace(appendRowsWebgpu, {rowsOfBuffer}),
};
