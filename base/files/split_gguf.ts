import {FormatError, InvalidArgumentError} from '../errors.js';
import type {Metadata, TensorFile} from './tensor_file.js';
import {metadataNumber} from './gguf_metadata.js';
import {closeAll, joinedFiles} from './joined_files.js';

// Large models come as several GGUF files, as llama.cpp's gguf-split writes them: each holds some of the tensors and says which
// part it is (split.no, split.count, split.tensors.count); the first part has the model's metadata.

/** The position of a part in its split file. */
export interface GgufSplit {
  /** Counted from 1, as in the names of files. */
  readonly part: number;
  readonly count: number;
}

/** Far more than real models have (some tens). */
const maxParts = 1000;

const partName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s;

/** @throws FormatError if the file states an impossible part number. */
export function splitOf({metadata, tensors}: TensorFile, name: string): GgufSplit | undefined {
  const count = metadataNumber(metadata, 'split.count') ?? 1;
  if (count === 0 || count === 1) {
    checkTensorCount(metadata, tensors.size, name);
    return undefined;
  }
  const no = metadataNumber(metadata, 'split.no') ?? -1;
  if (
    Number.isInteger(count) &&
    count > 1 &&
    count <= maxParts &&
    Number.isInteger(no) &&
    no >= 0 &&
    no < count
  ) {
    return {part: no + 1, count};
  }
  throw new FormatError(
    `${name} says that it is part ${no + 1} of ${count} of a split GGUF file; 1 to ${maxParts} parts are read. Download or split it again.`,
  );
}

/**
 * The names of all parts of a split file, by the name of one of them: `model-00002-of-00003.gguf`. Undefined if the name
 * does not follow this pattern.
 */
export function namesOfParts(name: string): readonly string[] | undefined {
  const [, start = '', part, of] = partName.exec(name) ?? [];
  const count = Number(of);
  if (of === undefined || count < 1 || count > maxParts || Number(part) < 1 || Number(part) > count)
    return undefined;
  return Array.from({length: count}, (_, i) => `${start}-${String(i + 1).padStart(5, '0')}-of-${of}.gguf`);
}

/** @throws InvalidArgumentError if the name of a part does not say the same as its content, so that others cannot be found. */
export function checkedNamesOfParts(name: string, {part, count}: GgufSplit): readonly string[] {
  const names = namesOfParts(name);
  if (names?.length === count && names[part - 1] === name) return names;
  const digits = (number: number) => String(number).padStart(5, '0');
  throw new InvalidArgumentError(
    `${name} is part ${part} of ${count} of a split GGUF file. The others are found by their names: call this one ` +
      `NAME-${digits(part)}-of-${digits(count)}.gguf and the others accordingly, or join them (llama-gguf-split --merge).`,
  );
}

/**
 * All parts of a split file as one, in whatever order they come.
 * @throws InvalidArgumentError if a part is missing, given twice, or of another file; FormatError if the parts contradict
 *   each other. All are closed then.
 */
export async function joinGgufParts(files: readonly {file: TensorFile; name: string}[]): Promise<TensorFile> {
  try {
    return join(files);
  } catch (error) {
    await closeAll(files.map(({file}) => file));
    throw error;
  }
}

function join(files: readonly {file: TensorFile; name: string}[]): TensorFile {
  const byPart = new Map<number, {file: TensorFile; name: string}>();
  const count = splitOf(files[0]!.file, files[0]!.name)?.count;
  for (const given of files) {
    const split = splitOf(given.file, given.name);
    if (split === undefined || split.count !== count || byPart.has(split.part)) {
      throw new InvalidArgumentError(
        `${given.name} is ${split === undefined ? 'a whole file' : `part ${split.part} of ${split.count}`} and does not go with ` +
          `${files[0]!.name}; give every part of one split GGUF file once.`,
      );
    }
    byPart.set(split.part, given);
  }
  const parts = Array.from({length: count ?? 0}, (_, i) => byPart.get(i + 1));
  const missing = parts.flatMap((part, i) => (part === undefined ? [i + 1] : []));
  if (missing.length > 0) {
    throw new InvalidArgumentError(
      `Of the ${parts.length} parts of this split GGUF file ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing; ` +
        `give all of them in one list, with ${namesOf(missing, files[0]!.name)}.`,
    );
  }
  return joinComplete(parts.filter(part => part !== undefined));
}

function namesOf(parts: readonly number[], name: string): string {
  const names = namesOfParts(name);
  return parts
    .map(part => names?.[part - 1] ?? `the file that ends in -${String(part).padStart(5, '0')}-of-...gguf`)
    .join(', ');
}

function joinComplete(parts: readonly {file: TensorFile; name: string}[]): TensorFile {
  const fileOf = new Map<string, TensorFile>();
  for (const {file, name} of parts) {
    for (const tensor of file.tensors.keys()) {
      if (fileOf.has(tensor))
        throw new FormatError(`${name} holds the tensor "${tensor}", which another part holds too.`);
      fileOf.set(tensor, file);
    }
  }
  for (const {file, name} of parts) checkTensorCount(file.metadata, fileOf.size, name);
  const {file: first, name} = parts[0]!;
  const files = parts.map(part => part.file);
  return joinedFiles(files, fileOf, first.metadata, `${name} and the other parts`);
}

function checkTensorCount(metadata: Metadata, count: number, name: string): void {
  const claimed = metadataNumber(metadata, 'split.tensors.count') ?? count;
  if (claimed === count) return;
  throw new FormatError(
    `${name} and what belongs to it hold ${count} tensors, but it says ${claimed}: a part is missing, or of another file. Download ` +
      'all again.',
  );
}
