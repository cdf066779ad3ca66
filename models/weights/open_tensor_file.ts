import {FormatError} from '../../ops/errors.js';
import {type ByteSource, openFileSource} from '../../ops/files/byte_source.js';
import {openGguf} from './gguf.js';
import {openSafetensors} from '../../ops/files/safetensors.js';
import {openShardedSafetensors, parseShardIndex} from './sharded_safetensors.js';
import type {TensorFile} from '../../ops/files/tensor_file.js';

/** More than the index of any model needs: 1,000,000 tensors with 100 bytes each. */
const maxIndexBytes = 100_000_000;

/** Opens GGUF or safetensors, told apart by the first four bytes, whatever the file is called. */
export async function openTensorFile(source: ByteSource): Promise<TensorFile> {
  const start = await source.read(0, Math.min(4, source.size)).catch(async (error: unknown) => {
    await source.close();
    throw error;
  });
  return String.fromCharCode(...start) === 'GGUF' ? openGguf(source) : openSafetensors(source);
}

/**
 * Opens the weights at a path (Node only): a .gguf or .safetensors file, or a `*.safetensors.index.json` whose shards
 * lie beside it.
 * @throws InvalidArgumentError where there is no such file, FormatError where it is damaged.
 */
export async function openTensorPath(path: string): Promise<TensorFile> {
  const source = await openFileSource(path);
  if (!path.endsWith('.json')) return openTensorFile(source);
  const {dirname, join} = process.getBuiltinModule('node:path');
  const text = await readText(source);
  return openShardedSafetensors(parseShardIndex(text, path), fileName =>
    openFileSource(join(dirname(path), fileName)),
  );
}

async function readText(source: ByteSource): Promise<string> {
  try {
    if (source.size > maxIndexBytes) {
      throw new FormatError(
        `${source.name} has ${source.size} bytes; an index has at most ${maxIndexBytes}.`,
      );
    }
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
}
