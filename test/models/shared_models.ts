import {existsSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {skip} from '../support/skip.js';

/** Small trained models for development, beside the checkout where there are some; never part of the package. */
const shared = new URL('../../../shared/data/models/', import.meta.url);

export const sharedModels = [
  {name: 'stories260K', file: 'stories260K-f32.gguf'},
  {name: 'babyllama-tok361', file: 'babyllama-tok361-f32.gguf'},
  {name: 'bible-3.7m', file: 'bible-f32.gguf'},
].map(({name, file}) => ({name, path: new URL(`${name}/${file}`, shared).pathname}));

export interface SharedGolden {
  readonly ids: number[];
  readonly text: string;
  readonly meanNll: number;
  /** The first of the logits at the last position that predicts a given token. */
  readonly lastLogits: number[];
  readonly promptIds: number[];
  readonly greedyIds: number[];
}

export async function sharedGolden(path: string): Promise<SharedGolden> {
  return JSON.parse(await readFile(new URL('golden.json', `file://${path}`), 'utf8')) as SharedGolden;
}

/** Skips a test, saying why, where a file is missing. */
export function skipWithout(context: Mocha.Context, path: string): void {
  if (!existsSync(path)) skip(context, `there is no ${path}`);
}
