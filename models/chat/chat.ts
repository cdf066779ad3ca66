/// <reference lib="esnext.disposable" preserve="true" />
import {CacheStateError, ContextLengthError, InvalidArgumentError, shown} from '../../base/errors.js';
import {disposeSymbol} from '../../base/dispose_symbol.js';
import {checkOptions} from '../../base/options.js';
import {KVCache} from '../../cache/kv_cache.js';
import {countThatFits, generateIds} from '../generate/generate_ids.js';
import {expectListener} from '../generate/options.js';
import {textOfIds} from '../generate/text_of_ids.js';
import type {TextModel} from '../loaded_model.js';
import {partsOf, tokenizerOf} from '../model_like.js';
import {AnswerRecord} from './answer_record.js';
import {ConversationCache, type Cut} from './conversation_cache.js';
import {type HeldIds, idsOfRendered} from './held_ids.js';
import {type ChatMessage, type TemplateVariables, expectMessages, expectTemplate} from './messages.js';
import {
  type AnswerOptions,
  type ChatOptions,
  type CheckedAnswerOptions,
  answerSchema,
  chatSchema,
} from './options.js';
import {renderLater} from './render_later.js';
import {readChat, writeChat} from './saved_chat.js';

/** What one answer of a chat took. */
export interface ChatTurn {
  /** Tokens of the whole conversation before the answer. */
  readonly promptTokens: number;
  /** Those of them that the cache held already. */
  readonly reusedTokens: number;
  /** Those of them that were computed. */
  readonly computedTokens: number;
  readonly generatedTokens: number;
  /** Until the first token of the answer. */
  readonly promptSeconds: number;
  /** From the first token of the answer to its end. */
  readonly answerSeconds: number;
  /** Tokens and bytes of the cache at the end. */
  readonly cacheTokens: number;
  readonly cacheBytes: number;
  /** Why the whole conversation was computed anew: the cache could not be cut back. Absent if it was not. */
  readonly restarted?: string;
}

/** Tokens of an answer, if the context has room for them. */
const usualTokens = 1024;

/**
 * A conversation with a model over one cache: what is in the cache is never computed again.
 *
 *     using talk = chat(model, {plan: 'quantized:bits=4', messages: [{role: 'system', content: 'Answer in one sentence.'}]});
 *     for await (const text of talk.send('Why is the sea salt?')) process.stdout.write(text);
 *     for await (const text of talk.send('And lakes?')) process.stdout.write(text);   // computes this question only
 *
 * Before each answer the whole conversation is rendered by the model's chat template; the longest common prefix of its ids with those in the
 * cache stays, and the rest is computed. So an edited message costs itself and what follows it, and a template that rewrites what was said
 * (such as thoughts, which it leaves out) costs what it rewrites. Ids that the model generated stay as they are, even if the tokenizer would cut their text otherwise.
 * Where the cache cannot be cut back (see `KVCache.truncate`), it is kept as it was before the newest question: to edit that one or to answer it anew
 * computes it again. To change anything before it computes the whole conversation anew, and `turns` says why.
 */
export class Chat {
  readonly #model: TextModel;
  readonly #defaults: AnswerOptions;
  readonly #turns: ChatTurn[] = [];
  #messages: readonly ChatMessage[];
  #conversation: ConversationCache;
  #isAnswering = false;

  /** See `chat`. */
  constructor(model: TextModel, options: ChatOptions = {}) {
    const parts = partsOf(model);
    this.#model = {...parts, tokenizer: tokenizerOf(parts)};
    expectTemplate(this.#model.chatTemplate);
    const checked = checkOptions('chat', chatSchema, options);
    const {plan, messages, expectedTokens, beyondContext, onWarning, ...answers} = checked;
    expectMessages(messages);
    this.#messages = [...messages];
    this.#defaults = answers;
    this.#conversation = new ConversationCache(
      new KVCache(model, plan, {expectedTokens, beyondContext, onWarning}),
    );
  }

  /** All that was said, in order. Set it to change anything; the next answer computes what differs. */
  get messages(): readonly ChatMessage[] {
    return [...this.#messages];
  }

  set messages(messages: readonly ChatMessage[]) {
    this.#expectFree('setting messages');
    expectMessages(messages);
    this.#messages = [...messages];
  }

  /** The cache, for its size, its report and `setPlan`. It belongs to the chat. */
  get cache(): KVCache {
    return this.#conversation.cache;
  }

  /** What each answer took, in order. */
  get turns(): readonly ChatTurn[] {
    return [...this.#turns];
  }

  /**
   * Says something and gives the answer, piece by piece, as `generate` does. Both are then in `messages`; so is the part of an answer that was
   * given out before it was aborted or the caller left the loop. After any other error, or if no text was generated, `messages` is as before.
   *
   * @param message a text, said by the user, or a message.
   * @throws InvalidArgumentError for a message or options that are not allowed; ModelError if the template refuses the messages;
   *   ContextLengthError, before anything is computed, if there is no room; CacheStateError if another answer has not ended; the signal's
   *   reason. It is thrown at the first text that is asked for.
   */
  send(message: string | ChatMessage, options?: AnswerOptions): AsyncGenerator<string, void, undefined> {
    const said = typeof message === 'string' ? {role: 'user', content: message} : message;
    return this.#answer(() => [...this.#messages, said], options);
  }

  /**
   * Changes a message, forgets what followed it, and answers it. Throws what `send` throws.
   *
   * @param index in `messages`; not of an answer, which `messages` itself may change.
   */
  edit(index: number, content: string, options?: AnswerOptions): AsyncGenerator<string, void, undefined> {
    const edited = () => {
      const message = this.#messages[index];
      if (message === undefined || message.role === 'assistant') {
        throw new InvalidArgumentError(
          `edit(${shown(index)}): expected the index of a message that is no answer; there are ${this.#messages.length} messages. ` +
            'Set `messages` to change an answer.',
        );
      }
      return [...this.#messages.slice(0, index), {...message, content}];
    };
    return this.#answer(edited, options);
  }

  /** Answers `messages` as they are, or, if the last one is an answer, answers anew in its place. Throws what `send` throws. */
  answer(options?: AnswerOptions): AsyncGenerator<string, void, undefined> {
    const asked = () => {
      const isAnswered = this.#messages.at(-1)?.role === 'assistant';
      return isAnswered ? this.#messages.slice(0, -1) : this.#messages;
    };
    return this.#answer(asked, options);
  }

  /**
   * Saves messages and cache: `Chat.restore` continues without computing anything again.
   *
   * @returns the bytes of a safetensors file.
   * @throws CacheStateError if an answer has not ended, or the model's weights changed since its first token.
   */
  async save(): Promise<Uint8Array> {
    this.#expectFree('save');
    return writeChat({messages: this.#messages, held: this.#conversation.held, cache: this.cache});
  }

  /**
   * Returns the chat that `save` wrote.
   *
   * @param options as for `chat`, but for the messages and the cache, which are as they were saved; `plan` is needed only if the saved policies are not registered by name.
   * @throws FormatError if the bytes are no saved chat, damaged, or of another version; ModelError if it is of another model;
   *   InvalidArgumentError if `plan` differs from the saved one, or options are not allowed.
   */
  static async restore(
    bytes: Uint8Array,
    model: TextModel,
    options: Omit<ChatOptions, 'messages' | 'expectedTokens' | 'beyondContext'> = {},
  ): Promise<Chat> {
    const {plan, onWarning, ...answers} = options;
    const {messages, held, cache} = await readChat(bytes, model, {plan, onWarning});
    try {
      const chat = new Chat(model, {...answers, messages});
      chat.#conversation = new ConversationCache(cache, held); // in place of one that holds nothing yet
      return chat;
    } catch (error) {
      cache.dispose();
      throw error;
    }
  }

  /** Frees the cache. The messages stay, and the chat may be used again. */
  dispose(): void {
    this.#expectFree('dispose');
    this.#conversation.dispose();
  }

  /** Lets `using talk = chat(model)` free the cache at the end of its block. */
  [disposeSymbol](): void {
    this.dispose();
  }

  async *#answer(
    asked: () => readonly ChatMessage[],
    given: AnswerOptions = {},
  ): AsyncGenerator<string, void, undefined> {
    this.#expectFree('another answer');
    const messages = asked();
    if (messages.length === 0) throw new InvalidArgumentError('There are no messages to answer; send one.');
    const options = checkOptions('chat', answerSchema, {...this.#defaults, ...given});
    expectListener(options);
    this.#isAnswering = true;
    try {
      yield* this.#generate(messages, options);
    } finally {
      this.#isAnswering = false;
    }
  }

  async *#generate(
    messages: readonly ChatMessage[],
    {stop, templateVariables, tokens, seed, ...options}: CheckedAnswerOptions,
  ): AsyncGenerator<string, void, undefined> {
    const begin = performance.now();
    const {signal} = options;
    const {tokenizer} = this.#model;
    const prompt = await this.#promptOf(messages, templateVariables);
    const {ids} = prompt;
    const count = this.#countThatFits(ids.length, tokens);
    signal?.throwIfAborted();
    const cut = await this.#conversation.cutBackTo(ids, messages.length > this.#messages.length);
    const record = new AnswerRecord(tokenizer, ids);
    const generated = generateIds(
      this.#model,
      ids.slice(cut.reused),
      {
        ...options,
        cache: this.cache,
        tokens: count,
        seed: seed === undefined ? undefined : seed + this.#turns.length,
      },
      ids.slice(0, cut.reused),
    );
    let answer = '';
    let failure: unknown;
    try {
      for await (const piece of textOfIds(record.watch(generated), tokenizer, ids, stop)) {
        answer += piece;
        yield piece; // the caller may leave here
      }
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      const isAborted = signal?.aborted === true && failure === signal.reason;
      if (failure === undefined || isAborted) {
        this.#conversation.hold(heldAfter(prompt, record));
        if (!isAborted || answer !== '') {
          this.#messages = [...messages, {role: 'assistant', content: answer}];
          this.#turns.push(this.#turnOf(ids.length, cut, record, begin));
        }
      } else {
        this.#conversation.forget();
      }
    }
  }

  /** A conversation as text and ids. */
  async #promptOf(messages: readonly ChatMessage[], variables: TemplateVariables): Promise<HeldIds> {
    const text = await renderLater(this.#model, messages, variables);
    const {ids, marks} = idsOfRendered(this.#model.tokenizer, text, this.#conversation.held);
    return {ids, text, marks: [...marks, {text: text.length, ids: ids.length}]};
  }

  #countThatFits(promptEnd: number, tokens: number | undefined): number {
    try {
      return countThatFits(this.#model, promptEnd, {tokens, cache: this.cache}, usualTokens);
    } catch (error) {
      if (!(error instanceof ContextLengthError)) throw error;
      throw new ContextLengthError(
        `${error.message} A chat goes on with fewer messages (chat.messages = ...), or beyond the context with a policy that evicts ` +
          "({plan: 'sliding', beyondContext: true}).",
        {cause: error},
      );
    }
  }

  #turnOf(promptTokens: number, cut: Cut, {ids, firstAt}: AnswerRecord, begin: number): ChatTurn {
    const end = performance.now();
    const start = firstAt ?? end;
    return {
      ...{promptTokens, reusedTokens: cut.reused, computedTokens: promptTokens - cut.reused},
      generatedTokens: ids.length,
      ...{promptSeconds: (start - begin) / 1000, answerSeconds: (end - start) / 1000},
      ...{cacheTokens: this.cache.tokens, cacheBytes: this.cache.byteSize},
      ...(cut.restarted !== undefined && {restarted: cut.restarted}),
    };
  }

  #expectFree(what: string): void {
    if (!this.#isAnswering) return;
    throw new CacheStateError(
      `This chat is answering; ${what} has to wait. End that answer first: leave its loop, call its return(), or abort it.`,
    );
  }
}

/** A prompt with its answer. It has no mark at its end if the answer ends within a character. */
function heldAfter(prompt: HeldIds, record: AnswerRecord): HeldIds {
  const ids = [...prompt.ids, ...record.ids];
  const spelled = record.text();
  if (spelled === undefined) return {...prompt, ids};
  const text = prompt.text + spelled;
  return {ids, text, marks: [...prompt.marks, {text: text.length, ids: ids.length}]};
}

/**
 * Begins a conversation with a model over one cache: see `Chat`.
 *
 * @param options of its cache (`plan`, `beyondContext`) and of every answer (`temperature`, `tokens`, `stop` ... as for `generate`).
 * @throws InvalidArgumentError if an option is not allowed, the plan does not fit the model, or the model has no tokenizer or no chat template.
 */
export function chat(model: TextModel, options?: ChatOptions): Chat {
  return new Chat(model, options);
}
