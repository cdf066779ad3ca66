import type * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import {type PackedProduct, packedProducts} from './packed_wasm.js';
import type {LinearAttributes, LinearInputs} from './reference.js';

/** `linears` over packed weights, on tfjs' heap. */
export function linearWasm(
  inputs: KernelInputs<LinearInputs>,
  {products, activations}: LinearAttributes,
): tf.TensorInfo[] {
  const heap = wasmHeap()!;
  const {x, residual} = inputs;
  const address = (tensor: tf.TensorInfo | undefined) => (tensor === undefined ? 0 : heap.address(tensor));
  const results = products.map(({shape}) => heap.output([...shape], 'float32'));
  const packed: PackedProduct[] = [];
  let rows = 0;
  products.forEach(({format, inputs: numbers, outputs}, i) => {
    if (format === 'float32') throw new BackendError('float32 products have no kernel yet');
    rows = x.shape.reduce((product, length) => product * length, 1) / numbers;
    packed.push({
      format,
      inputs: numbers,
      outputs,
      records: address(inputs[`matrix${i}`]),
      bias: address(inputs[`bias${i}`]),
      residual: address(residual),
      out: heap.address(results[i]!),
    });
  });
  packedProducts(heap, address(x), rows, packed, activations);
  return results;
}
