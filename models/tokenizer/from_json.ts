import {type Warn, warnOnConsole} from '../../base/warn.js';
import {type TokenizerFiles, configuredTokens} from './configured_tokens.js';
import {isEndToken} from './end_tokens.js';
import {type Tokenizer, buildTokenizer} from './tokenizer.js';
import {
  type AddedToken,
  type TokenizerJson,
  checkTokenizerJson,
  readAddedTokens,
  readVocabulary,
} from './tokenizer_json.js';

/**
 * A tokenizer from the parsed tokenizer.json of a model, and its tokenizer_config.json if there is one, which names
 * the first and the last token. Tokens that only this or one of the `olderFiles` has are added as `transformers` adds them.
 * Besides, every special token that is known to end a text ends it.
 * @throws FormatError if one of the files is not what its name says, ModelError if its parts do not fit each other.
 */
export function tokenizerFromJson(
  tokenizerJson: unknown,
  tokenizerConfig: unknown = {},
  olderFiles: Omit<TokenizerFiles, 'tokenizerConfig'> = {},
  warn: Warn = warnOnConsole,
): Tokenizer {
  const own = checkTokenizerJson(tokenizerJson);
  const vocabulary = readVocabulary(own);
  const {further, names} = configuredTokens(own, vocabulary, {tokenizerConfig, ...olderFiles}, warn);
  const json: TokenizerJson =
    further.length === 0
      ? own
      : checkTokenizerJson({...own, added_tokens: [...own.added_tokens, ...further]});
  const added = readAddedTokens(json);
  const idOf = (key: string): number | undefined => {
    const token = names.get(key);
    return token === undefined
      ? undefined
      : (added.find(({content}) => content === token)?.id ?? vocabulary.get(token));
  };
  const eosId = idOf('eos_token');
  const ends = added.filter(({special, content}) => special && isEndToken(content)).map(({id}) => id);
  const bosId = idOf('bos_token') ?? firstToken(added);
  const eosIds = [...new Set(eosId === undefined ? ends : [eosId, ...ends])];
  return buildTokenizer(json, {bosId, eosIds}, warn, vocabulary);
}

/** Without a config: a special token spelled as Llama 2 or 3 spell their first. */
function firstToken(added: readonly AddedToken[]): number | undefined {
  return added.find(({special, content}) => special && (content === '<s>' || content === '<|begin_of_text|>'))
    ?.id;
}
