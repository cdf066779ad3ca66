import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import type {TextModel} from '../loaded_model.js';
import type {Tokenizer} from '../tokenizer/index.js';
import {renderTemplate} from './limited_template.js';
import {type ChatMessage, type TemplateVariables, expectMessages, expectTemplate} from './messages.js';

/** Characters of a conversation: more than any context holds, and what a template can be given without taking long. */
const maxCharacters = 2 ** 20;

/**
 * A conversation as one text, by the model's chat template: every message, then the beginning of the assistant's answer. The text
 * has its special tokens written out; encode it with `{addSpecial: false}`.
 *
 * The template gets what transformers gives it (`apply_chat_template`): `messages`, `add_generation_prompt` = true, `bos_token`,
 * `eos_token`, and `tools` and `documents`, which are none. It is untrusted code: it can reach nothing else, and is ended when it takes too
 * many steps or makes too long a text.
 *
 * @param variables further names for the template. Default: none.
 * @throws InvalidArgumentError if the model has no template, the messages are none, or have more than 1,048,576 characters in all; ModelError
 *   if the template fails, with what it says.
 */
export function renderChat(
  {chatTemplate, tokenizer}: Pick<TextModel, 'chatTemplate' | 'tokenizer'>,
  messages: readonly ChatMessage[],
  variables: TemplateVariables = {},
): string {
  const template = expectTemplate(chatTemplate);
  expectMessages(messages);
  const characters = messages.reduce((sum, {content}) => sum + content.length, 0);
  if (characters > maxCharacters) {
    throw new InvalidArgumentError(
      `The messages have ${characters} characters; at most ${maxCharacters} are allowed. Shorten them.`,
    );
  }
  try {
    return renderTemplate(template, {
      ...{tools: null, documents: null, ...variables, messages, add_generation_prompt: true},
      bos_token: spelled(tokenizer, tokenizer.bosId),
      eos_token: spelled(tokenizer, ...tokenizer.eosIds),
    });
  } catch (error) {
    const reason = reasonOf(error);
    throw new ModelError(
      `The model's chat template fails: ${reason}. Change the messages, or give one text instead.`,
      {cause: error},
    );
  }
}

/** What a template says may be long, and meant to do something to a terminal. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const shortened = message.length > 500 ? `${message.slice(0, 500)}...` : message;
  return shortened.replace(/\p{Cc}+/gu, ' ');
}

/** The first of these ids that has a token, as the vocabulary spells it; the empty text if none has. */
function spelled({token, isSilent}: Tokenizer, ...ids: readonly (number | undefined)[]): string {
  const id = ids.find(one => one !== undefined && isSilent?.(one, {skipSpecial: false}) !== true);
  return id === undefined ? '' : token(id);
}
