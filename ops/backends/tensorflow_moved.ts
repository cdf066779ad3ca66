import type * as tf from '@tensorflow/tfjs';

/** What tfjs-node keeps of a tensor's numbers. */
interface Numbers {
  readonly shape: readonly number[];
  /** By TensorFlow's number. */
  readonly dtype: number;
}

/** What of tfjs-node is replaced, and what that takes. */
export interface TensorStore {
  readonly tensorMap: {has(dataId: tf.DataId): boolean; get(dataId: tf.DataId): Numbers};
  getDTypeInteger(dtype: tf.DataType): number;
  getInputTensorIds(tensors: readonly tf.TensorInfo[]): number[];
  disposeData(dataId: tf.DataId, force?: boolean): boolean;
}

/** A tensor's numbers, by their id, as those of another shape or dtype: one more tensor of TensorFlow. */
type MakeView = (id: number, numbers: Numbers, tensor: tf.TensorInfo) => number;

/**
 * Lets every op of tfjs-node see tensors that came from another backend as they are. tfjs moves numbers with the shape and dtype in which they
 * were made; on other backends `reshape` shares them, and on cpu `cast`, too, if it loses nothing. tfjs-node takes what was moved for the tensor.
 * Views live as long as the numbers. They share their memory, but for those of another dtype.
 */
export function viewMovedTensors(store: TensorStore, makeView: MakeView, free: (id: number) => void): void {
  const {getInputTensorIds, disposeData} = store;
  const views = new WeakMap<Numbers, Map<string, number>>();
  store.getInputTensorIds = tensors => {
    const ids = getInputTensorIds.call(store, tensors);
    return ids.map((id, i) => {
      const tensor = tensors[i]!;
      if (!store.tensorMap.has(tensor.dataId)) return id; // tfjs-node's own scalars of int64
      const numbers = store.tensorMap.get(tensor.dataId);
      if (isOf(numbers, tensor)) return id;
      const known = views.get(numbers) ?? new Map<string, number>();
      views.set(numbers, known);
      const key = `${tensor.dtype} ${tensor.shape.join()}`;
      const view = known.get(key) ?? makeView(id, numbers, tensor);
      known.set(key, view);
      return view;
    });
  };
  store.disposeData = (dataId, force) => {
    const numbers = store.tensorMap.has(dataId) ? store.tensorMap.get(dataId) : undefined;
    const isGone = disposeData.call(store, dataId, force);
    if (isGone && numbers !== undefined) views.get(numbers)?.forEach(free);
    return isGone;
  };
  /** Dtypes that tfjs does not have are int32 for it. */
  const movable = new Set((['float32', 'int32', 'bool'] as const).map(name => store.getDTypeInteger(name)));
  function isOf({shape, dtype}: Numbers, tensor: tf.TensorInfo): boolean {
    if (movable.has(dtype) && dtype !== store.getDTypeInteger(tensor.dtype)) return false;
    return shape.length === tensor.shape.length && shape.every((size, axis) => size === tensor.shape[axis]);
  }
}
