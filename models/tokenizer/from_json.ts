import {FormatError, ModelError} from '../../ops/errors.js';
import {isEndToken} from './end_tokens.js';
import {type Tokenizer, buildTokenizer} from './tokenizer.js';
import {
  type AddedToken,
  checkTokenizerJson,
  isRecord,
  readAddedTokens,
  readVocabulary,
} from './tokenizer_json.js';

/**
 * A tokenizer from the parsed tokenizer.json of a model, and its tokenizer_config.json where there is one, which names
 * the first and the last token. Besides, every special token that is known to end a text ends it.
 * @throws FormatError where it is no tokenizer.json, ModelError where its parts do not fit each other.
 */
export function tokenizerFromJson(tokenizerJson: unknown, tokenizerConfig: unknown = {}): Tokenizer {
  const json = checkTokenizerJson(tokenizerJson);
  if (!isRecord(tokenizerConfig)) throw new FormatError('The tokenizer_config.json is not a JSON object.');
  const added = readAddedTokens(json);
  const idOf = (key: string): number | undefined => {
    const token = tokenName(tokenizerConfig[key]);
    if (token === undefined) return undefined;
    const id = added.find(({content}) => content === token)?.id ?? readVocabulary(json).get(token);
    if (id !== undefined) return id;
    throw new ModelError(`tokenizer_config.json names the ${key} "${token}", which tokenizer.json lacks.`);
  };
  const eosId = idOf('eos_token');
  const ends = added.filter(({special, content}) => special && isEndToken(content)).map(({id}) => id);
  return buildTokenizer(json, {
    bosId: idOf('bos_token') ?? firstToken(added),
    eosIds: [...new Set(eosId === undefined ? ends : [eosId, ...ends])],
  });
}

/** A config names a token by its text or by an object with its text as `content`. */
function tokenName(value: unknown): string | undefined {
  if (isRecord(value)) return tokenName(value['content']);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Without a config: a special token spelled as Llama 2 or 3 spell their first. */
function firstToken(added: readonly AddedToken[]): number | undefined {
  return added.find(({special, content}) => special && (content === '<s>' || content === '<|begin_of_text|>'))
    ?.id;
}
