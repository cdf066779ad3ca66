import type * as tf from '@tensorflow/tfjs';
import type {FormLayout} from '../forms.js';
import type {WasmHeap} from './wasm_heap.js';

/** Bytes of a form's descriptor; the order of its words is that of `FormDescriptor` in ops/assembly/tiles.ts. */
export const descriptorBytes = 32;

/** What a kernel needs to know to read a form: eight words for scratch memory. */
export function describeForm(
  heap: WasmHeap,
  layout: FormLayout,
  data: tf.TensorInfo,
  params: tf.TensorInfo | undefined,
): number[] {
  const common = [heap.address(data), data.shape[2]!, layout.dim];
  if (layout.kind === 'dense') return [0, ...common, 0, 0, 0, 0];
  const axis = layout.groupAxis === 'channel' ? 0 : 1;
  return [
    1,
    ...common,
    heap.address(params!),
    params!.shape[2]!,
    layout.bits | (axis << 8),
    layout.groupSize,
  ];
}
