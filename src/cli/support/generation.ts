import {KVCache} from '../../../cache/kv_cache.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {byteSize, comparedWith, counted, short} from '../../../base/units.js';
import {generate} from '../../../models/generate/generate.js';
import type {GenerateOptions, GeneratedToken} from '../../../models/generate/options.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {float32BytesOf} from '../../evaluate/cache_bytes.js';
import {planLabel} from '../../evaluate/index.js';
import {printable} from '../../report/terminal.js';
import {print, printNote} from './print.js';
import type {SamplingChoice} from './sampling.js';

/** Tokens, speed and bytes of a generation; also the keys of its JSON. */
export interface GenerationSummary {
  /** Generated tokens, without those of the prompt. */
  readonly tokens: number;
  /** Speed from the first to the last generated token, without the prompt. With a single token, the prompt is included. */
  readonly tokensPerSecond: number;
  /** Time of the whole run, the prompt included. */
  readonly seconds: number;
  /** Tokens that passed through the cache: those of the prompt and the generated ones. */
  readonly cacheTokens: number;
  readonly cacheBytes: number;
  /** Bytes of the keys and values of all these tokens as float32. */
  readonly float32Bytes: number;
  /** cacheBytes / float32Bytes: 0.25 is a quarter. */
  readonly ratioToFloat32: number;
}

/** A generated text with its prompt, plan and measurements. */
export interface Generation extends GenerationSummary {
  readonly prompt: string;
  readonly plan: string;
  readonly text: string;
  /** With `logprobs`: how probable each token was. */
  readonly logprobs?: readonly GeneratedToken[];
}

interface RunOptions extends SamplingChoice, Pick<GenerateOptions, 'logprobs'> {
  readonly plan: Plan;
  readonly tokens?: number;
  readonly signal: AbortSignal;
  /** Print the text as it is generated, and its measurements on stderr at the end. */
  readonly shows: boolean;
  /** Print the prompt before it. */
  readonly echoes: boolean;
}

/** Continues a prompt through a cache with a plan. Text generated before an error or an interrupt is shown as well. */
export async function runGeneration(
  loaded: LoadedModel,
  prompt: string,
  {plan, tokens, shows, echoes, ...options}: RunOptions,
): Promise<Generation> {
  const promptTokens = loaded.tokenizer.encode(prompt).length || 1;
  const expectedTokens = Math.min(promptTokens + (tokens ?? 256), loaded.contextLength);
  const cache = new KVCache(loaded.model, plan, {expectedTokens});
  const run = new WatchedGeneration(cache, promptTokens);
  const told: GeneratedToken[] = [];
  const watched = {
    ...options,
    ...(options.logprobs !== undefined && {onToken: (token: GeneratedToken) => void told.push(token)}),
  };
  try {
    const pieces = generate(loaded, prompt, {...watched, tokens, cache});
    const text = await streamText(run.watch(pieces), {prompt: echoes ? prompt : '', shows});
    const logprobs = options.logprobs === undefined ? {} : {logprobs: told};
    return {prompt, plan: planLabel(plan), text, ...run.summary(), ...logprobs};
  } finally {
    if (shows && run.hasStarted) printNote(lineOf(run.summary()));
    cache.dispose();
  }
}

/** Collects the generated texts and, if `shows`, prints them after the prompt as they are generated. Returns them without the prompt. */
async function streamText(
  pieces: AsyncIterable<string>,
  {prompt, shows}: {readonly prompt: string; readonly shows: boolean},
): Promise<string> {
  let text = '';
  if (shows) process.stdout.write(prompt);
  try {
    for await (const piece of pieces) {
      text += piece;
      if (shows) process.stdout.write(printable(piece));
    }
  } finally {
    if (shows && prompt + text !== '') print('');
  }
  return text;
}

/** Measures a generation, however it ends. */
class WatchedGeneration {
  private readonly start = performance.now();
  private first: {readonly tokens: number; readonly time: number} | undefined;
  private end = this.start;

  constructor(
    private readonly cache: KVCache,
    private readonly promptTokens: number,
  ) {}

  /** Whether any text was generated. */
  get hasStarted(): boolean {
    return this.first !== undefined;
  }

  /** Passes texts on and counts them. */
  async *watch(pieces: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
    try {
      for await (const piece of pieces) {
        this.first ??= {tokens: this.cache.tokens, time: performance.now()};
        yield piece;
      }
    } finally {
      this.end = performance.now();
    }
  }

  summary(): GenerationSummary {
    const {tokens: cacheTokens, byteSize: cacheBytes} = this.cache;
    const float32Bytes = float32BytesOf(this.cache);
    const tokens = Math.max(0, cacheTokens - this.promptTokens);
    const seconds = (this.end - this.start) / 1000;
    return {
      tokens,
      tokensPerSecond: this.decodeRate() ?? tokens / seconds,
      seconds,
      cacheTokens,
      cacheBytes,
      float32Bytes,
      ratioToFloat32: cacheBytes / float32Bytes,
    };
  }

  /** Tokens per second after the first text, whose own time includes the prompt. */
  private decodeRate(): number | undefined {
    if (this.first === undefined || this.cache.tokens <= this.first.tokens) return undefined;
    return (1000 * (this.cache.tokens - this.first.tokens)) / (this.end - this.first.time);
  }
}

/** "60 tokens, 41 tokens/s; cache of 67 tokens: 150 KiB, 3.5x smaller than float32 (530 KiB)" */
function lineOf({tokens, tokensPerSecond, cacheTokens, cacheBytes, float32Bytes}: GenerationSummary): string {
  return (
    `${counted(tokens, 'token')}, ${short(tokensPerSecond)} tokens/s; cache of ${counted(cacheTokens, 'token')}: ` +
    `${byteSize(cacheBytes)}, ${comparedWith(float32Bytes / cacheBytes, 'float32')} (${byteSize(float32Bytes)})`
  );
}
