import {FormatError, InvalidArgumentError} from '../errors.js';
import {type ByteSource, openFileSource} from './byte_source.js';
import {diskError, errorCode} from './disk.js';
import {openSafetensors} from './safetensors.js';
import type {TensorFile} from './tensor_file.js';
import {openGguf} from './gguf.js';
import {closeAll} from './joined_files.js';
import {openShardedSafetensors, parseShardIndex} from './sharded_safetensors.js';
import {type GgufSplit, checkedNamesOfParts, joinGgufParts, splitOf} from './split_gguf.js';

/** More than the index of any model needs: 1,000,000 tensors with 100 bytes each. */
const maxIndexBytes = 100_000_000;
const indexEnd = '.safetensors.index.json';

/**
 * Opens GGUF or safetensors, told apart by the first four bytes, whatever the file is called.
 * @throws FormatError if it is neither, or damaged; the message says what the file is instead, if that is recognised.
 */
export async function openTensorFile(source: ByteSource): Promise<TensorFile> {
  try {
    const start = await source.read(0, Math.min(9, source.size));
    const isGguf = String.fromCharCode(...start.subarray(0, 4)) === 'GGUF';
    // what is neither GGUF nor begins a header of safetensors is judged by its name
    const isCalledGguf = start[8] !== 0x7b && source.name.endsWith('.gguf');
    return isGguf || isCalledGguf ? await openGguf(source) : await openSafetensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * Opens the weights at a path (Node only): a .gguf or .safetensors file, or a `*.safetensors.index.json` whose shards
 * lie beside it. Of one part of a split GGUF file, or of one shard, all that belong together are opened.
 * @throws InvalidArgumentError if there is no such file, or a part of it is missing; FormatError if one is damaged.
 */
export async function openTensorPath(path: string): Promise<TensorFile> {
  if (path.endsWith('.json')) return openIndex(path);
  const file = await openTensorFile(await openFileSource(path));
  try {
    if (file.format === 'gguf') {
      const split = splitOf(file, path);
      return split === undefined ? file : await openParts(path, file, split);
    }
    const index = await indexThatNames(path);
    if (index === undefined) return file;
    await file.close();
    return await openIndex(index);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openParts(path: string, given: TensorFile, split: GgufSplit): Promise<TensorFile> {
  const {basename, dirname, join} = process.getBuiltinModule('node:path');
  const names = checkedNamesOfParts(basename(path), split);
  const present = new Set(await filesBeside(path));
  const missing = names.filter(name => !present.has(name));
  if (missing.length > 0) {
    throw new InvalidArgumentError(
      `${path} is part ${split.part} of ${split.count} of a split GGUF file; beside it is no ${missing.join(', no ')}. ` +
        'Put all parts into one folder.',
    );
  }
  const opened: {file: TensorFile; name: string}[] = [];
  try {
    for (const name of names) {
      const beside = join(dirname(path), name);
      const file = name === basename(path) ? given : await openTensorFile(await openFileSource(beside));
      opened.push({file, name: beside});
    }
  } catch (error) {
    await closeAll(opened.map(({file}) => file));
    throw error;
  }
  return joinGgufParts(opened);
}

const shardName = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/s;

/** @throws InvalidArgumentError if a file is named as a shard and there is no index that lists the others. */
async function indexThatNames(path: string): Promise<string | undefined> {
  const {basename, dirname, join} = process.getBuiltinModule('node:path');
  const name = basename(path);
  for (const file of await filesBeside(path)) {
    if (!file.endsWith(indexEnd)) continue;
    const index = join(dirname(path), file);
    if ((await readIndex(index)).fileNames.includes(name)) return index;
  }
  const [, start, part, count] = shardName.exec(name) ?? [];
  if (start === undefined || Number(count) <= 1) return undefined;
  throw new InvalidArgumentError(
    `${path} is shard ${Number(part)} of ${Number(count)}; beside it is no ${start}${indexEnd} that says which belong together. ` +
      'Put all shards and their index into one folder.',
  );
}

async function filesBeside(path: string): Promise<readonly string[]> {
  const {readdir} = process.getBuiltinModule('node:fs/promises');
  const {dirname} = process.getBuiltinModule('node:path');
  return readdir(dirname(path)).catch((error: unknown) => {
    if (errorCode(error) === 'EACCES') return []; // a folder may give its files and not their list
    throw diskError(error, `list the folder of ${path}`);
  });
}

async function openIndex(path: string): Promise<TensorFile> {
  const {dirname, join} = process.getBuiltinModule('node:path');
  const index = await readIndex(path);
  return openShardedSafetensors(index, fileName => openFileSource(join(dirname(path), fileName)));
}

async function readIndex(path: string) {
  const source = await openFileSource(path);
  try {
    if (source.size > maxIndexBytes) {
      throw new FormatError(
        `${source.name} has ${source.size} bytes; an index has at most ${maxIndexBytes}.`,
      );
    }
    return parseShardIndex(await source.read(0, source.size), path);
  } finally {
    await source.close();
  }
}
