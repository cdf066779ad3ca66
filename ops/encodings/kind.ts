import type * as tf from '@tensorflow/tfjs';
import type * as v from 'valibot';
import type {WasmHeap} from '../backends/wasm_heap.js';

/** What every encoding has. Its other fields are tensors and numbers of its kind. */
interface AnyEncoding {
  readonly kind: string;
  /** Numbers per token of one head. */
  readonly dim: number;
}

/** What one tensor `[batch, kvHeads, rows, columns]` of an encoding must be. */
export interface EncodingTensorSpec {
  readonly dtype: 'float32' | 'int32';
  /** Numbers of a row; of all heads together if `headColumns` is there. */
  readonly columns: number;
  /** If heads differ in their columns, they lie side by side in `[batch, 1, rows, columns]`: the columns of each head. */
  readonly headColumns?: readonly number[];
  /** How many tokens one row covers; Infinity if all tokens share the tensor, as they share a basis. */
  readonly tokensPerRow: number;
  /** Tokens of a row do not depend on one another, so that single ones can be gathered into other rows. Default: they share scales. */
  readonly areApart?: true;
  /** The number of rows of a tensor that all tokens share. */
  readonly sharedRows?: number;
}

/** Gives an encoding's tensors by their names. */
type TensorSource = (name: string, spec: EncodingTensorSpec) => tf.Tensor4D;

/**
 * All that is known of one kind of encoding `E`. Its layout `L` is the encoding without its tensors: plain JSON, which is what a
 * snapshot stores.
 */
export interface EncodingKind<E extends AnyEncoding, L extends AnyEncoding> {
  readonly kind: L['kind'];
  /**
   * Checks a layout that comes from a file.
   *
   * @internal
   */
  readonly schema: v.StrictObjectSchema<
    {readonly [Name in keyof L]: v.GenericSchema<unknown, L[Name]>},
    undefined
  >;
  layout(encoding: E): L;
  /** The encoding of a layout, with tensors from `tensor`, which is called once for each of them. */
  make(layout: L, tensor: TensorSource): E;
  /** The tensors by the names that `make` asks for. */
  tensors(encoding: E): Readonly<Record<string, tf.Tensor4D>>;
  /** @throws InvalidArgumentError if the encoding's tensors do not fit each other. `what` is its name in the message. */
  check?(encoding: E, what: string): void;
}

/** A kind in which every token's numbers stand for themselves, so that kernels read it without anything else. */
export interface TokenEncodingKind<E extends AnyEncoding, L extends AnyEncoding> extends EncodingKind<E, L> {
  /** The numbers or codes: what kernels call `data`. */
  data(encoding: E): tf.Tensor4D;
  /** The scales, if the kind has any: what kernels call `params`. */
  params(encoding: E): tf.Tensor4D | undefined;
  /** How many tokens fit into the tensors without growing them. */
  capacity(encoding: E): number;
  /** The number of key heads, if they lie side by side and `data` has no axis of them. */
  kvHeads?(layout: L): number;
  /** Tokens `from .. from + count` in plain tfjs ops or loops on the host: float32 `[batch, kvHeads, count, dim]`. */
  decodeReference(
    data: tf.Tensor4D,
    params: tf.Tensor4D | undefined,
    layout: L,
    from: number,
    count: number,
  ): tf.Tensor4D;
  readonly wasm: WasmReader<L>;
  readonly wgsl: WgslReader<L>;
}

/** The words of `EncodingDescriptor` (ops/assembly/encoding_descriptor.ts) that depend on the kind. */
interface WasmReader<L> {
  readonly kind: number;
  layout(layout: L, heap: WasmHeap): number;
  groupSize(layout: L): number;
}

/** How shaders read an encoding. A *unit* is what is read at once: a number of a dense row, or a word of codes. */
export interface WgslReader<L> {
  unitsOfRow(layout: L): number;
  /** WGSL functions that `decodeUnit` calls. */
  functions(layout: L): string;
  /**
   * WGSL statements that decode a unit of the row `row` of the data, if `head`, `token` and `unit` are i32 variables, and hand each
   * number with its channel to `store`.
   */
  decodeUnit(
    layout: L,
    row: string,
    names: WgslNames,
    store: (channel: string, number: string) => string,
  ): string;
}

/** Names of an encoding's buffers in a shader, and of the uniforms that say how many rows each has per head. */
export interface WgslNames {
  readonly data: string;
  readonly params: string;
  readonly dataRows: string;
  readonly paramRows: string;
}
