import {InvalidArgumentError} from '../../base/errors.js';
import {checkOptions} from '../../base/options.js';
import type {ChatMessage} from '../chat/messages.js';
import {renderLater} from '../chat/render_later.js';
import type {TextModel} from '../loaded_model.js';
import {type ModelLike, partsOf, tokenizerOf} from '../model_like.js';
import type {Tokenizer} from '../tokenizer/index.js';
import {generateIds} from './generate_ids.js';
import {type GenerateIdsOptions, type GenerateOptions, generateSchema} from './options.js';
import {textOfIds} from './text_of_ids.js';

/**
 * Continues a prompt through a compressed cache: a text, a conversation, or token ids.
 *
 *     for await (const text of generate(model, 'Once upon a time', {plan: quantized(), tokens: 100})) process.stdout.write(text);
 *     for await (const text of generate(model, [{role: 'user', content: 'Why is the sea salt?'}])) process.stdout.write(text);
 *     for await (const id of generate(model, [5, 17, 3])) console.log(id);
 *
 * A text or a conversation gives texts, piece by piece as soon as they are certain: never half a character, never a part of a stop
 * string. Ids give ids; a `tf.LayersModel` alone takes them too. It ends at an id of `eosIds`, a stop string or after `tokens`
 * tokens. The caller may break out of the loop at any time.
 *
 * Decoding is greedy unless `temperature` is given, whatever the model's authors recommend: the same prompt then gives the same text
 * with every plan and in every run, so that plans can be compared. `{...model.generation}` samples as the authors do.
 *
 * @param prompt A text: special tokens written out in it count as such. With a cache that holds tokens it continues them, and gets no
 *   first token of its own; an empty text is read as the tokenizer's first token. Messages: a whole conversation, which the model's
 *   chat template renders, with the beginning of the assistant's answer. Ids: at least one, of the model's vocabulary.
 * @throws InvalidArgumentError for a prompt or options that are not allowed, or messages without a chat template;
 *   ContextLengthError, before anything is computed, if prompt and `tokens` do not fit; CacheStateError if another generation uses
 *   `cache`, or a policy's or the model's state does not allow it; the signal's reason. It is thrown at the first token that is asked for.
 */
export function generate(
  model: TextModel,
  prompt: string | readonly ChatMessage[],
  options?: GenerateOptions,
): AsyncGenerator<string, void, undefined>;
export function generate(
  model: ModelLike,
  ids: readonly number[],
  options?: GenerateIdsOptions,
): AsyncGenerator<number, void, undefined>;
export async function* generate(
  given: ModelLike,
  prompt: string | readonly ChatMessage[] | readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<string | number, void, undefined> {
  const model = partsOf(given);
  if (typeof prompt !== 'string' && !areMessages(prompt)) {
    yield* generateIds(model, prompt, options);
    return;
  }
  yield* generateText({...model, tokenizer: tokenizerOf(model)}, prompt, options);
}

function areMessages(list: readonly ChatMessage[] | readonly number[]): list is readonly ChatMessage[] {
  return Array.isArray(list) && typeof list[0] === 'object';
}

async function* generateText(
  model: TextModel,
  prompt: string | readonly ChatMessage[],
  given: GenerateOptions,
): AsyncGenerator<string, void, undefined> {
  const {stop, ...options} = checkOptions('generate', generateSchema, given);
  const held = options.cache?.tokens ?? 0;
  const ids =
    typeof prompt === 'string'
      ? idsOfText(model.tokenizer, prompt, held > 0)
      : await idsOfChat(model, prompt, held);
  yield* textOfIds(generateIds(model, ids, options), model.tokenizer, ids, stop);
}

function idsOfText(tokenizer: Tokenizer, text: string, continues: boolean): number[] {
  const ids = tokenizer.encode(text, {addSpecial: !continues});
  if (ids.length > 0) return ids;
  if (tokenizer.bosId !== undefined && !continues) return [tokenizer.bosId];
  throw new InvalidArgumentError(
    continues
      ? 'The prompt is empty; give some text that continues what the cache holds.'
      : 'The prompt is empty, and this tokenizer has no first token to use instead; give some text.',
  );
}

async function idsOfChat(
  model: TextModel,
  messages: readonly ChatMessage[],
  held: number,
): Promise<number[]> {
  if (held > 0) {
    throw new InvalidArgumentError(
      `generate: messages are a whole conversation, but the cache holds ${held} tokens already. Give an empty cache, or a text that ` +
        'continues what the cache holds.',
    );
  }
  return model.tokenizer.encode(await renderLater(model, messages), {addSpecial: false});
}
