import {type Metadata, type TensorFile, type TensorInfo, findTensor} from './tensor_file.js';

/** Several open files as one: these tensors of theirs, each read from the file that has it. All are closed with it. */
export function joinedFiles(
  files: readonly TensorFile[],
  fileOf: ReadonlyMap<string, TensorFile>,
  metadata: Metadata,
  name: string,
): TensorFile {
  const tensors = new Map<string, TensorInfo>();
  for (const [tensor, file] of fileOf) tensors.set(tensor, findTensor(file.tensors, tensor, name));
  const fileWith = (tensor: string) => fileOf.get(findTensor(tensors, tensor, name).name)!;
  return {
    format: files[0]!.format,
    tensors,
    metadata,
    readFloat32: async (tensor, rows) => fileWith(tensor).readFloat32(tensor, rows),
    readAsStored: async (tensor, rows) => fileWith(tensor).readAsStored(tensor, rows),
    readBytes: async (tensor, rows) => fileWith(tensor).readBytes(tensor, rows),
    close: () => closeAll(files),
  };
}

export async function closeAll(files: Iterable<TensorFile>): Promise<void> {
  await Promise.all(Array.from(files, file => file.close()));
}
