import type {BrowserBackend} from '../engine/protocol.js';
import type {Band} from './bands.js';

/** What a shared link holds. */
export interface Settings {
  readonly prompt: string;
  readonly bands: readonly Band[];
  /** Tokens to write. */
  readonly tokens: number;
  /** 0 always takes the most probable token. */
  readonly temperature: number;
  readonly seed: number;
  readonly backend: BrowserBackend;
  /** Whether a change of plan, seed or temperature runs everything again. */
  readonly live: boolean;
}

export const backends: readonly BrowserBackend[] = ['wasm', 'webgpu', 'webgl'];

/** The least and the most that each number may be. */
export const ranges = {
  tokens: {least: 1, most: 1000, whole: true},
  temperature: {least: 0, most: 2, whole: false},
  seed: {least: 0, most: 2 ** 32 - 1, whole: true},
} as const;

export type NumberName = keyof typeof ranges;

/** Whether a setting may have this number. */
export function isInRange(name: NumberName, number: number): boolean {
  const {least, most, whole} = ranges[name];
  return number >= least && number <= most && (!whole || Number.isInteger(number));
}

/** The prompt is of Persuasion (Jane Austen, 1817), chapter 23, which the embedded model was not trained on. */
export const defaults: Settings = {
  prompt:
    'I can listen no longer in silence. I must speak to you by such means as are within my reach. You pierce my soul. ' +
    'I am half agony, half hope. Tell me not that I am too late, that such precious feelings are gone for ever. I offer ' +
    'myself to you again with a heart even more your own than when you almost broke it, eight years and a half ago. Dare ' +
    'not say that man forgets sooner than woman, that his love has an earlier death.',
  bands: [
    {depths: 3, policy: 'quantized:bits=4,groupSize=32'},
    {depths: 4, policy: 'h2o:heavyBudget=48,recentBudget=48'},
    {depths: 2, policy: 'quantized:groupSize=32'},
  ],
  tokens: 160,
  temperature: 0.8,
  seed: 1,
  backend: 'wasm',
  live: true,
};
