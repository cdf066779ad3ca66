import {InvalidArgumentError, shown} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';

// What is known of messages without the interpreter of templates, which `renderChat` brings with it.

/** One message of a conversation. */
export interface ChatMessage {
  /** Who speaks. Templates of models know these three, some know others. */
  readonly role: 'system' | 'user' | 'assistant' | (string & {});
  /** What is said. Special tokens written out in it (`<|im_end|>`) become those tokens, as in transformers. */
  readonly content: string;
}

/** Values of names that a template knows, such as `{enable_thinking: false}`. */
export type TemplateVariables = Readonly<Record<string, unknown>>;

/** @throws InvalidArgumentError if it is no list of messages. */
export function expectMessages(messages: readonly ChatMessage[]): void {
  const given: unknown = messages;
  if (!Array.isArray(given)) {
    throw new InvalidArgumentError(`The messages are ${shown(given)}; expected a list of {role, content}.`);
  }
  const wrong = given.findIndex(message => !isMessage(message));
  if (wrong < 0) return;
  throw new InvalidArgumentError(
    `messages[${wrong}] is ${shown(given[wrong])}; expected {role, content}, both texts.`,
  );
}

/** @throws InvalidArgumentError if there is none. */
export function expectTemplate(chatTemplate: string | undefined): string {
  if (chatTemplate !== undefined) return chatTemplate;
  throw new InvalidArgumentError(
    'This model has no chat template, so it does not say how messages become a text. Give one text, or set `chatTemplate`.',
  );
}

function isMessage(given: unknown): boolean {
  if (!isRecord(given)) return false;
  return typeof given['role'] === 'string' && typeof given['content'] === 'string';
}
