import type {TaskRow} from '../../src/evaluate/index.js';
import type {BackendName, EvaluationRow} from '../../src/index.js';
import type {Band} from '../state/bands.js';

// What the page and the worker with the model say to each other. Plain data: it is cloned on the way.

/** The backends that a browser has. */
export type BrowserBackend = Exclude<BackendName, 'cpu' | 'tensorflow'>;

/** From the page to the worker, each with a number. A new `generate` or `measure` ends the one that runs. */
export type Asked = Request & {readonly id: number};

/** From the worker to the page, each with the number of the request that it answers. */
export type Answered = Reply & {readonly id: number};

export type Request =
  | {readonly kind: 'load'; readonly backend: BrowserBackend; readonly file?: Blob}
  | {
      readonly kind: 'size';
      readonly bands: readonly Band[];
      readonly prompt: string;
      readonly tokens: number;
    }
  | ({readonly kind: 'generate'} & GenerateRequest)
  | {readonly kind: 'measure'; readonly bands: readonly Band[]; readonly text: string}
  | {readonly kind: 'stop'};

export interface GenerateRequest {
  readonly bands: readonly Band[];
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
  readonly seed: number;
}

/** What takes time, and may fail. */
export type Task = 'load' | 'generate' | 'measure';

export type Reply =
  | {readonly kind: 'progress'; readonly task: Task; readonly done: number; readonly total: number}
  | {readonly kind: 'loaded'; readonly model: ModelFacts}
  | {readonly kind: 'sized'; readonly size: PlanSize}
  | {readonly kind: 'refused'; readonly band: number; readonly failure: Failure}
  | {readonly kind: 'written'; readonly generation: Generation}
  | {readonly kind: 'measured'; readonly measurement: Measurement}
  /** A `generate` or `measure` is over, at its end or because it was stopped. */
  | {readonly kind: 'ended'; readonly task: Task}
  | {readonly kind: 'failed'; readonly task: Task; readonly failure: Failure};

/** An error, as a person reads it. */
export interface Failure {
  /** The error's class. */
  readonly name: string;
  readonly message: string;
  /** The tab's memory is used up: the worker cannot go on. */
  readonly outOfMemory: boolean;
}

export interface ModelFacts {
  readonly name: string;
  readonly parameters: number;
  readonly depths: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens. */
  readonly contextLength: number;
  readonly backend: BrowserBackend;
  /** Why it is not the backend that was asked for. */
  readonly fallback?: string;
  /** Threads that run the kernels of wasm. */
  readonly threads: number;
  /** A text to measure on, which the embedded model never saw. */
  readonly sampleText: string;
}

/** What a plan stores of a text, before anything was generated. */
export interface PlanSize {
  /** Tokens that the sizes are of: those of the prompt and those to write. */
  readonly tokens: number;
  /** Of each depth. */
  readonly bytes: readonly number[];
  /** Of all depths together: tables of rotary positions. */
  readonly sharedBytes: number;
  /** Of each depth alike, in float32. */
  readonly float32Bytes: number;
}

/** Two continuations of one prompt, as far as they are. */
export interface Generation {
  /** The tokens of the prompt as text. */
  readonly prompt: readonly string[];
  readonly full: Continuation;
  readonly plan: Continuation;
  /** The first written token that differs, from 0; undefined as long as none does. */
  readonly partsAt?: number;
  /** Of each depth of the plan's cache: true bytes, and those of all tokens seen in float32. */
  readonly depths: readonly {readonly bytes: number; readonly float32Bytes: number}[];
  /** Of all depths together: tables of rotary positions. */
  readonly sharedBytes: number;
  /** How many key heads of a depth still hold a token: `[depths, tokens]`, row-major; prompt first. */
  readonly headsHolding: Uint8Array;
}

/** What one cache made the model write. */
export interface Continuation {
  /** The tokens written, as text. */
  readonly written: readonly string[];
  /** True bytes of the cache after the prompt and after each token. */
  readonly bytes: readonly number[];
  /** While writing, the prompt left out; 0 before the second token. */
  readonly tokensPerSecond: number;
}

/** A text measured with the full cache and with the plan. */
export interface Measurement {
  /** Tokens measured, the first of the text, and tokens of the whole text. */
  readonly tokens: number;
  readonly textTokens: number;
  readonly full: EvaluationRow;
  readonly plan: EvaluationRow;
  /** What both caches answer to questions about a longer text; absent if the model's context is too short for it. */
  readonly answers?: {readonly full: TaskRow; readonly plan: TaskRow};
  /** How far the text is from the model's calibration; absent if the plan stores nothing by it. */
  readonly drift?: {readonly text: string; readonly hasLeft: boolean};
  readonly ranks: readonly HeadRank[];
  /** ||o' - o|| / ||o|| of the attention output of each depth. */
  readonly outputErrors: readonly number[];
  /** KL divergence of each depth by the model's calibration, nats per token; undefined if it cannot be predicted. */
  readonly predictedKls: readonly (number | undefined)[];
}

/** The fewest dimensions with 0.99 of the energy of what one head stores. */
export interface HeadRank {
  readonly side: 'keys' | 'values';
  readonly depth: number;
  readonly head: number;
  readonly rank: number;
}
