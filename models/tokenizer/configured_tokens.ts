import {FormatError} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';
import type {Warn} from '../../base/warn.js';
import {type TokenizerJson, readAddedTokens} from './tokenizer_json.js';

/** The files beside a tokenizer.json that name tokens, parsed; undefined if there is none. */
export interface TokenizerFiles {
  readonly tokenizerConfig?: unknown;
  /** special_tokens_map.json: names of special tokens, in older models. */
  readonly specialTokensMap?: unknown;
  /** added_tokens.json: ids of added tokens, in older models. */
  readonly addedTokens?: unknown;
}

export interface ConfiguredTokens {
  /** `added_tokens` of a tokenizer.json: those that only the other files have, with the ids that they get. */
  readonly further: readonly object[];
  /** The text of a token by the key that names it, such as `eos_token`. */
  readonly names: ReadonlyMap<string, string>;
}

/** Keys of tokenizer_config.json that name one token, in the order in which the hub's library adds them. */
const namedTokens = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
];
const listsOfTokens = ['model_specific_special_tokens', 'extra_special_tokens', 'additional_special_tokens'];

/**
 * Tokens that the files beside a tokenizer.json name and it lacks, as `transformers` 5 adds them: first `added_tokens_decoder` of
 * tokenizer_config.json by its ids, then the special tokens that have a name there, each with the id of the vocabulary or else the
 * next free one. special_tokens_map.json and added_tokens.json are used if tokenizer_config.json has no `added_tokens_decoder`.
 *
 * @param vocabulary of the tokenizer.json.
 * @throws FormatError if one of the files is not what its name says.
 */
export function configuredTokens(
  json: TokenizerJson,
  vocabulary: ReadonlyMap<string, number>,
  {tokenizerConfig = {}, specialTokensMap = {}, addedTokens = {}}: TokenizerFiles,
  warn: Warn,
): ConfiguredTokens {
  const isOlder = recordOf(tokenizerConfig, 'tokenizer_config.json')['added_tokens_decoder'] === undefined;
  const config: Record<string, unknown> = {
    ...recordOf(tokenizerConfig, 'tokenizer_config.json'),
    ...(isOlder && recordOf(specialTokensMap, 'special_tokens_map.json')),
  };
  const names = new Map<string, string>();
  for (const key of namedTokens) {
    const name = contentOf(config[key]);
    if (name !== undefined) names.set(key, name);
  }
  const special = [
    ...namedTokens.map(key => config[key]),
    ...listsOfTokens.flatMap(key => listOf(config[key])),
  ];
  const specialTexts = new Set(special.map(contentOf));
  const listed = isOlder
    ? addedTokensOf(addedTokens, specialTexts)
    : decoderOf(config['added_tokens_decoder'], specialTexts);
  const wanted = [...listed, ...special.map(token => entryOf(token, true))];
  return {further: withIds(json, vocabulary, wanted, warn), names};
}

/** A token that is to be added, and the id that its file gives it. */
interface WantedToken {
  readonly content: string;
  readonly listedId?: number;
  readonly flags: object;
}

/** The tokens that the tokenizer lacks, once each, with the ids that the Rust library gives them. */
function withIds(
  json: TokenizerJson,
  vocabulary: ReadonlyMap<string, number>,
  wanted: readonly (WantedToken | undefined)[],
  warn: Warn,
): object[] {
  const added = readAddedTokens(json);
  const known = new Set(added.map(({content}) => content));
  if (wanted.every(token => token === undefined || known.has(token.content))) return [];
  const taken = new Set(added.map(({id}) => id));
  let next = added.reduce((end, {id}) => Math.max(end, id + 1), vocabulary.size);
  const moved: string[] = [];
  const further: object[] = [];
  for (const token of wanted) {
    if (token === undefined || known.has(token.content)) continue;
    const {content, listedId, flags} = token;
    const id = vocabulary.get(content) ?? next;
    if (!taken.has(id) && id >= next) next = id + 1;
    known.add(content);
    taken.add(id);
    further.push({...flags, id, content});
    if (listedId !== undefined && listedId !== id)
      moved.push(`"${content.slice(0, 64)}" (${listedId}, now ${id})`);
  }
  if (moved.length > 0) {
    warn(
      `Files beside tokenizer.json give ids to tokens that do not follow its own: ${moved.slice(0, 8).join(', ')}. They get the ` +
        'next ones, as the hub’s library gives them; if that is wrong, add them to tokenizer.json.',
    );
  }
  return further;
}

/** `added_tokens_decoder`: from ids to tokens with their flags, by rising id. */
function decoderOf(value: unknown, special: ReadonlySet<string | undefined>): WantedToken[] {
  return Object.entries(recordOf(value, 'added_tokens_decoder of tokenizer_config.json'))
    .map(([id, token]) => {
      const entry = entryOf(
        token,
        isRecord(token) && (token['special'] === true || special.has(contentOf(token))),
      );
      if (entry !== undefined && /^\d{1,9}$/.test(id)) return {...entry, listedId: Number(id)};
      throw new FormatError(
        `tokenizer_config.json has an added token without id or content: ${JSON.stringify({[id]: token}).slice(0, 200)}.`,
      );
    })
    .sort((a, b) => a.listedId - b.listedId);
}

/** added_tokens.json: from tokens to ids. */
function addedTokensOf(value: unknown, special: ReadonlySet<string | undefined>): WantedToken[] {
  return Object.entries(recordOf(value, 'added_tokens.json'))
    .map(([content, id]) => {
      const entry = entryOf({content}, special.has(content));
      if (entry !== undefined && typeof id === 'number' && Number.isSafeInteger(id) && id >= 0)
        return {...entry, listedId: id};
      throw new FormatError(
        `added_tokens.json maps ${JSON.stringify(content.slice(0, 200))} to ${JSON.stringify(id).slice(0, 200)}; expected an id.`,
      );
    })
    .sort((a, b) => a.listedId - b.listedId);
}

/** A token by its text, or by an object with its text as `content` and its flags. */
function entryOf(token: unknown, special: boolean): WantedToken | undefined {
  const content = contentOf(token);
  if (content === undefined) return undefined;
  const flag = (name: string, otherwise: boolean): boolean => {
    const value = isRecord(token) ? token[name] : undefined;
    return typeof value === 'boolean' ? value : otherwise;
  };
  const [single_word, lstrip, rstrip] = [
    flag('single_word', false),
    flag('lstrip', false),
    flag('rstrip', false),
  ];
  return {content, flags: {single_word, lstrip, rstrip, normalized: flag('normalized', !special), special}};
}

function contentOf(value: unknown): string | undefined {
  if (isRecord(value)) return contentOf(value['content']);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A list, or the values of an object: `extra_special_tokens` comes as both. */
function listOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  return isRecord(value) ? Object.values(value) : [];
}

function recordOf(value: unknown, what: string): Record<string, unknown> {
  if (isRecord(value)) return value;
  throw new FormatError(`The ${what} is not a JSON object.`);
}
