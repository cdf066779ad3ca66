import type {KVCache} from '../../../cache/kv_cache.js';
import {byteSize, comparedWith, counted, short} from '../../../base/units.js';

/** What a generation took, in the keys of the JSON. */
export interface GenerationSummary {
  /** Generated, without the prompt's. */
  readonly tokens: number;
  /** From the first to the last of them, without the prompt; of a single one with it. */
  readonly tokensPerSecond: number;
  /** All of it, the prompt too. */
  readonly seconds: number;
  /** Tokens that went through the cache: the prompt's and the generated ones. */
  readonly cacheTokens: number;
  readonly cacheBytes: number;
  /** The keys and values of all these tokens as float32. */
  readonly float32Bytes: number;
  /** cacheBytes / float32Bytes: 0.25 is a quarter. */
  readonly ratioToFloat32: number;
}

/** Watches a generation, to say at its end what it took, however it ends. */
export class GenerationRun {
  private readonly start = performance.now();
  private first: {readonly tokens: number; readonly time: number} | undefined;
  private end = this.start;

  constructor(
    private readonly cache: KVCache,
    private readonly promptTokens: number,
  ) {}

  /** Whether any text came. */
  get hasStarted(): boolean {
    return this.first !== undefined;
  }

  /** Hands texts on as they come. */
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
    const float32Bytes = this.cache.report().reduce((sum, depth) => sum + depth.float32Bytes, 0);
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

  /** "60 tokens, 41 tokens/s; cache of 67 tokens: 150 KiB, 3.5x smaller than float32 (530 KiB)" */
  summaryLine(): string {
    const {tokens, tokensPerSecond, cacheTokens, cacheBytes, float32Bytes} = this.summary();
    return (
      `${counted(tokens, 'token')}, ${short(tokensPerSecond)} tokens/s; cache of ${counted(cacheTokens, 'token')}: ` +
      `${byteSize(cacheBytes)}, ${comparedWith(float32Bytes / cacheBytes, 'float32')} (${byteSize(float32Bytes)})`
    );
  }

  /** Tokens a second behind the first text; its own is in the time of the prompt. */
  private decodeRate(): number | undefined {
    if (this.first === undefined || this.cache.tokens <= this.first.tokens) return undefined;
    return (1000 * (this.cache.tokens - this.first.tokens)) / (this.end - this.first.time);
  }
}
