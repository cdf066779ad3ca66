import {KVCache, type LoadedModel, type Plan, full, generate} from '../../src/index.js';
import {streamDecoder} from '../../models/index.js';
import type {Continuation, GenerateRequest} from './protocol.js';

/** One cache that continues a prompt, token by token, and what it took. */
export class CacheWriter {
  readonly cache: KVCache;
  readonly ids: number[] = [];
  private readonly written: string[] = [];
  private readonly bytes: number[] = [];
  private readonly tokens: AsyncGenerator<number, void, undefined>;
  private readonly decode: (id: number) => string;
  private writingMs = 0;
  private isAtEnd = false;

  /** @param plan default: the full cache. */
  constructor(
    loaded: LoadedModel,
    prompt: readonly number[],
    {tokens, temperature, seed}: Pick<GenerateRequest, 'tokens' | 'temperature' | 'seed'>,
    signal: AbortSignal,
    plan?: Plan,
  ) {
    this.cache = new KVCache(loaded.model, plan ?? full(), {expectedTokens: prompt.length + tokens});
    const {cache} = this;
    this.tokens = generate(loaded, prompt, {cache, tokens, temperature, seed, signal});
    const decoder = streamDecoder(loaded.tokenizer, {skipSpecial: false});
    for (const id of prompt) decoder.push(id);
    this.decode = id => decoder.push(id);
  }

  /** Generates a token, unless the text has ended. The first call also runs the prompt. */
  async write(): Promise<void> {
    if (this.isAtEnd) return;
    const start = performance.now();
    const {value: id, done = false} = await this.tokens.next();
    this.isAtEnd = done;
    this.bytes.push(this.cache.byteSize);
    if (id === undefined) return;
    if (this.ids.length > 0) this.writingMs += performance.now() - start;
    this.ids.push(id);
    this.written.push(this.decode(id));
  }

  get ended(): boolean {
    return this.isAtEnd;
  }

  state(): Continuation {
    const timed = this.ids.length - 1; // the first token's time is the prompt's
    return {
      written: [...this.written],
      bytes: [...this.bytes],
      tokensPerSecond: timed > 0 ? (1000 * timed) / this.writingMs : 0,
    };
  }

  async dispose(): Promise<void> {
    await this.tokens.return();
    this.cache.dispose();
  }
}
