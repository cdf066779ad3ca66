import {ModelError} from '../../base/errors.js';
import type {Warn} from '../../base/warn.js';
import type {ModelConfig} from '../architectures/parts/model_config.js';
import type {Tokenizer} from '../tokenizer/index.js';

/** Tokens that a tokenizer may have beyond its model's embedding: an eighth of it, and some in any case. */
const mostBeyond = (vocabSize: number) => Math.max(64, vocabSize / 8);

/**
 * The tokenizer as a model of this vocabulary can use it: it keeps the first and last tokens that the model has, with a warning for
 * others. If the tokenizer has a few tokens more, `encode` refuses texts that contain one.
 *
 * @throws ModelError if the tokenizer has many more tokens than the model, so that it belongs to another one.
 */
export function fittedTokenizer(tokenizer: Tokenizer, {vocabSize}: ModelConfig, warn: Warn): Tokenizer {
  if (tokenizer.vocabSize - vocabSize > mostBeyond(vocabSize)) {
    throw new ModelError(
      `The tokenizer has ${tokenizer.vocabSize} tokens, but its model knows ${vocabSize}: they are of different models.`,
    );
  }
  const {bosId} = tokenizer;
  const isKnown = (id: number) => id >= 0 && id < vocabSize;
  const beyond = [...(bosId === undefined ? [] : [bosId]), ...tokenizer.eosIds].filter(id => !isKnown(id));
  if (beyond.length > 0) {
    warn(
      `The model's first or last tokens include ${[...new Set(beyond)].join(', ')}, but its vocabulary has the ids 0 to ` +
        `${vocabSize - 1}: they count as not given.`,
    );
  }
  const fitted: Tokenizer = {
    ...tokenizer,
    bosId: bosId !== undefined && isKnown(bosId) ? bosId : undefined,
    eosIds: tokenizer.eosIds.filter(isKnown),
  };
  return tokenizer.vocabSize <= vocabSize ? fitted : withGuardedEncode(fitted, vocabSize);
}

function withGuardedEncode(tokenizer: Tokenizer, vocabSize: number): Tokenizer {
  return {
    ...tokenizer,
    encode(text, options) {
      const ids = tokenizer.encode(text, options);
      const beyond = ids.find(id => id >= vocabSize);
      if (beyond === undefined) return ids;
      throw new ModelError(
        `The text has the token "${tokenizer.token(beyond)}" (${beyond}), which the tokenizer knows and the model, with the ids 0 to ` +
          `${vocabSize - 1}, does not. Leave it out, or encode with {parseSpecial: false}.`,
      );
    },
  };
}
