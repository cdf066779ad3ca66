import * as v from 'valibot';
import {ModelError, shown} from '../../base/errors.js';
import {metadataBoolean, metadataNumber, metadataString} from '../../base/files/gguf_metadata.js';
import {type Metadata, type TensorFile, findTensor} from '../../base/files/tensor_file.js';

/** A whole number from 1 on. */
export const count = v.pipe(
  v.number('expected a whole number >= 1'),
  v.integer('expected a whole number >= 1'),
  v.minValue(1, 'expected a whole number >= 1'),
);

/** A finite number above 0. */
export const positive = v.pipe(
  v.number('expected a number > 0'),
  v.finite('expected a finite number'),
  v.gtValue(0, 'expected a number > 0'),
);

/** A key that may be missing or null, as hub configs write both. */
export const maybe = <const Schema extends v.GenericSchema>(schema: Schema) =>
  v.pipe(
    v.nullish(schema),
    v.transform(value => value ?? undefined),
  );

/** true or false; `otherwise` if missing or null. */
export const flag = (otherwise: boolean) => v.nullish(v.boolean('expected true or false'), otherwise);

/**
 * Reads the keys of a hub's config by a schema; keys that it does not name are left alone.
 * @throws ModelError that names the key, its value and what is allowed.
 */
export function readKeys<const Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  what: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, {abortEarly: true});
  if (result.success) return result.output;
  const issue = result.issues[0];
  const key = v.getDotPath(issue) ?? 'object';
  throw new ModelError(
    issue.received === 'undefined'
      ? `${what} lacks the key "${key}"; download it again, or use another conversion of the model.`
      : `${what} has ${key} = ${shown(issue.input)}; ${issue.message}.`,
  );
}

/** The keys of a GGUF file's architecture, such as `llama.block_count`. */
export interface GgufKeys {
  /** The name of the architecture, which keys begin with: `llama`. */
  readonly type: string;
  number(key: string): number | undefined;
  /** @throws ModelError if the key is missing. */
  neededNumber(key: string): number;
  string(key: string): string | undefined;
  boolean(key: string): boolean | undefined;
}

export function ggufKeys(metadata: Metadata, ggufType: string): GgufKeys {
  const number = (key: string) => metadataNumber(metadata, `${ggufType}.${key}`);
  return {
    type: ggufType,
    number,
    neededNumber(key) {
      const value = number(key);
      if (value !== undefined) return value;
      throw new ModelError(
        `The GGUF file lacks the key "${ggufType}.${key}"; use another conversion of the model.`,
      );
    },
    string: key => metadataString(metadata, `${ggufType}.${key}`),
    boolean: key => metadataBoolean(metadata, `${ggufType}.${key}`),
  };
}

/**
 * Rows of the token embedding, `[vocabSize, dim]`; few GGUF files name the number.
 * @throws ModelError if the tensor is missing, or the file names another number.
 */
export function ggufVocabSize(file: TensorFile, keys: GgufKeys): number {
  const name = 'token_embd.weight';
  const rows = findTensor(file.tensors, name, 'The GGUF file').shape[0] ?? 0;
  const named = keys.number('vocab_size');
  if (named === undefined || named === rows) return rows;
  throw new ModelError(`The GGUF file has vocab_size = ${named}, but ${name} has ${rows} rows.`);
}
