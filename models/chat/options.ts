import * as v from 'valibot';
import {type KVCacheOptions, cacheEntries} from '../../cache/kv_cache.js';
import {isRecord} from '../../base/records.js';
import {type GenerateOptions, generateEntries, stopEntry} from '../generate/options.js';
import type {ChatMessage, TemplateVariables} from './messages.js';

/** How an answer of a chat is generated: the options of `generate`, but for the cache, which is the chat's. */
export interface AnswerOptions extends Omit<GenerateOptions, 'cache' | 'plan' | 'prefixes'> {
  /** The most tokens of the answer. Default: 1024, or fewer if the context has no room for them. */
  readonly tokens?: number;
  /** The seed of the first answer; the n-th after it has `seed + n`, so that an answer that is tried again differs. Default: a new one each time. */
  readonly seed?: number;
  /** Further names for the chat template, such as `{enable_thinking: false}`. Default: none. */
  readonly templateVariables?: TemplateVariables;
}

/** Options of a chat: of its cache, and of every answer that does not say otherwise. */
export interface ChatOptions extends AnswerOptions, KVCacheOptions, Pick<GenerateOptions, 'plan'> {
  /** What was said before. Default: nothing. */
  readonly messages?: readonly ChatMessage[];
}

const {cache: _cache, prefixes: _prefixes, plan, ...generating} = generateEntries;

const answerEntries = {
  ...generating,
  stop: stopEntry,
  templateVariables: v.optional(v.custom<TemplateVariables>(isRecord, 'expected an object'), {}),
};

export const answerSchema = v.strictObject(answerEntries);

/** `AnswerOptions`, checked and with their defaults. */
export type CheckedAnswerOptions = v.InferOutput<typeof answerSchema>;

export const chatSchema = v.strictObject({
  ...answerEntries,
  ...cacheEntries,
  plan,
  messages: v.optional(
    v.custom<readonly ChatMessage[]>(() => true),
    [],
  ), // expectMessages reads them
});
