import type {TextModel} from '../loaded_model.js';
import {type ChatMessage, type TemplateVariables, expectMessages, expectTemplate} from './messages.js';

/** `renderChat` with its interpreter of templates (15 kB gzipped), which a page loads with its first chat. Throws what that throws. */
export async function renderLater(
  model: Pick<TextModel, 'chatTemplate' | 'tokenizer'>,
  messages: readonly ChatMessage[],
  variables?: TemplateVariables,
): Promise<string> {
  expectTemplate(model.chatTemplate);
  expectMessages(messages);
  const {renderChat} = await import('./render_chat.js');
  return renderChat(model, messages, variables);
}
