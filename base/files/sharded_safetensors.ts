import {FormatError} from '../errors.js';
import {parseJsonText} from './json_text.js';
import type {ByteSource} from './byte_source.js';
import {openSafetensors} from './safetensors.js';
import type {Metadata, TensorFile} from './tensor_file.js';
import {closeAll, joinedFiles} from './joined_files.js';

/** The content of `model.safetensors.index.json`: the file of each tensor. */
export interface ShardIndex {
  readonly fileOfTensor: ReadonlyMap<string, string>;
  /** Each shard's file name once, sorted. */
  readonly fileNames: readonly string[];
}

/** The most files that an index can make a loader open: more than any model on the hub has. */
const maxShards = 10_000;

/**
 * Reads the text of a `model.safetensors.index.json`. Every shard must be a plain file name beside the index.
 * @throws FormatError if it is not such an index, or if a name would lead out of its folder.
 */
export function parseShardIndex(
  text: string | Uint8Array,
  indexName = 'model.safetensors.index.json',
): ShardIndex {
  const index = parseJsonText(text, indexName);
  const weightMap =
    typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw new FormatError(`${indexName} has no "weight_map" object; download it again.`);
  }
  const fileOfTensor = new Map<string, string>();
  for (const [tensor, fileName] of Object.entries(weightMap)) {
    if (!isPlainFileName(fileName)) {
      throw new FormatError(
        `${indexName} puts tensor "${tensor}" into ${JSON.stringify(fileName)}; ` +
          'a shard must be a plain name ending in .safetensors, in the folder of the index.',
      );
    }
    fileOfTensor.set(tensor, fileName);
  }
  const fileNames = [...new Set(fileOfTensor.values())].sort();
  if (fileNames.length === 0 || fileNames.length > maxShards) {
    throw new FormatError(`${indexName} names ${fileNames.length} shards; 1 to ${maxShards} are allowed.`);
  }
  return {fileOfTensor, fileNames};
}

function isPlainFileName(name: unknown): name is string {
  return (
    typeof name === 'string' && /^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$/.test(name) && name.length <= 255
  );
}

/**
 * The shards of an index as one TensorFile holding exactly the tensors that the index names.
 * `openShard` opens a file name of the index; all that were opened are closed with the TensorFile or on failure.
 * @throws FormatError if a shard is damaged or lacks a tensor that the index puts there.
 */
export async function openShardedSafetensors(
  index: ShardIndex,
  openShard: (fileName: string) => Promise<ByteSource>,
): Promise<TensorFile> {
  const shards = new Map<string, TensorFile>();
  try {
    for (const fileName of index.fileNames)
      shards.set(fileName, await openSafetensors(await openShard(fileName)));
    const fileOf = new Map<string, TensorFile>();
    for (const [name, fileName] of index.fileOfTensor) {
      const shard = shards.get(fileName);
      if (shard?.tensors.has(name) !== true) {
        throw new FormatError(
          `The index puts tensor "${name}" into ${fileName}, which lacks it; download both again.`,
        );
      }
      fileOf.set(name, shard);
    }
    const name = `${index.fileNames[0]!} and its fellow shards`;
    return joinedFiles([...shards.values()], fileOf, mergedMetadata(shards.values()), name);
  } catch (error) {
    await closeAll(shards.values());
    throw error;
  }
}

function mergedMetadata(shards: Iterable<TensorFile>): Metadata {
  return new Map([...shards].flatMap(shard => [...shard.metadata]));
}
