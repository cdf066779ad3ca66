import {Template} from '@huggingface/jinja';
import {InvalidArgumentError, ModelError, shown} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';
import type {TextModel} from '../loaded_model.js';
import type {Tokenizer} from '../tokenizer/index.js';

/** One message of a conversation. */
export interface ChatMessage {
  /** Who speaks. Templates of models know these three, some know others. */
  readonly role: 'system' | 'user' | 'assistant' | (string & {});
  /** What is said. Special tokens written out in it (`<|im_end|>`) become those tokens, as in transformers. */
  readonly content: string;
}

/**
 * A conversation as one text, by the model's chat template: every message, then the beginning of the assistant's answer. The text
 * has its special tokens written out; encode it with `{addSpecial: false}`.
 *
 * The template gets what transformers gives it (`apply_chat_template`): `messages`, `add_generation_prompt` = true, `bos_token` and
 * `eos_token`.
 *
 * @throws InvalidArgumentError if the model has no template, or the messages are none; ModelError if the template fails, with what
 *   it says.
 */
export function renderChat(
  {chatTemplate, tokenizer}: Pick<TextModel, 'chatTemplate' | 'tokenizer'>,
  messages: readonly ChatMessage[],
): string {
  if (chatTemplate === undefined) {
    throw new InvalidArgumentError(
      'This model has no chat template, so it does not say how messages become a text. Give one text, or set `chatTemplate`.',
    );
  }
  const wrong = messages.findIndex(message => !isMessage(message));
  if (wrong >= 0) {
    throw new InvalidArgumentError(
      `messages[${wrong}] is ${shown(messages[wrong])}; expected {role, content}, both texts.`,
    );
  }
  try {
    return new Template(chatTemplate).render({
      messages,
      add_generation_prompt: true,
      bos_token: spelled(tokenizer, tokenizer.bosId),
      eos_token: spelled(tokenizer, ...tokenizer.eosIds),
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelError(
      `The model's chat template fails: ${reason}. Change the messages, or give one text instead.`,
      {cause: error},
    );
  }
}

function isMessage(given: unknown): boolean {
  if (!isRecord(given)) return false;
  return typeof given['role'] === 'string' && typeof given['content'] === 'string';
}

/** The first of these ids that has a token, as the vocabulary spells it; the empty text if none has. */
function spelled({token, isSilent}: Tokenizer, ...ids: readonly (number | undefined)[]): string {
  const id = ids.find(one => one !== undefined && isSilent?.(one, {skipSpecial: false}) !== true);
  return id === undefined ? '' : token(id);
}
