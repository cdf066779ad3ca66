import type {Failure, Generation, Measurement, ModelFacts, PlanSize, Task} from '../engine/protocol.js';
import type {Band} from './bands.js';
import type {Settings} from './settings.js';

/** All that the page shows. */
export interface PageState {
  readonly settings: Settings;
  /** The text to measure. */
  readonly text: string;
  /** What a person should know and need not act on: parts of a link that were ignored, another backend. */
  readonly notes: readonly string[];
  readonly model?: ModelFacts | undefined;
  /** The dropped file; none for the embedded model. */
  readonly file?: File | undefined;
  readonly running?: {readonly task: Task; readonly done: number; readonly total: number} | undefined;
  readonly size?: PlanSize | undefined;
  /** The band whose policy the model cannot take, and why. */
  readonly refused?: {readonly band: number; readonly failure: Failure} | undefined;
  readonly failure?: Failure | undefined;
  /** With the bands that it was made with: the plan may have changed since. */
  readonly generation?: Made<Generation> | undefined;
  readonly measurement?: Made<Measurement> | undefined;
}

export type Made<Result> = Result & {readonly bands: readonly Band[]};
