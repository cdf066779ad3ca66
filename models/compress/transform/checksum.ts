import {Digest} from '../../../base/digest.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';
import type {TensorToWrite} from '../../../base/files/write_safetensors.js';

// A digest of all tensors of a file: names, dtypes, shapes and bytes, in the order of the names.

/** Of tensors that are to be written as they are: F32, I32 or U8. */
export async function checksumOf(tensors: readonly TensorToWrite[]): Promise<string> {
  const digest = new Digest();
  for (const {name, dtype, shape, data} of byName(tensors)) {
    const {buffer, byteOffset, byteLength} = await data();
    digest.take(headOf(name, dtype, shape)).take(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return digest.hex;
}

/** Of the tensors that a file holds. */
export async function checksumOfFile(file: TensorFile): Promise<string> {
  const digest = new Digest();
  for (const {name, dtype, shape} of byName([...file.tensors.values()])) {
    const rows = shape.slice(0, -1).reduce((product, axis) => product * axis, 1);
    digest.take(headOf(name, dtype, shape)).take(await file.readBytes(name, {start: 0, end: rows}));
  }
  return digest.hex;
}

const headOf = (name: string, dtype: string, shape: readonly number[]) => `${name} ${dtype} ${shape.join()} `;

function byName<Tensor extends {readonly name: string}>(tensors: readonly Tensor[]): Tensor[] {
  return tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
