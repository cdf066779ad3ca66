import {InvalidArgumentError} from '../../../base/errors.js';
import type {Encoding} from '../../../ops/encodings/encoding.js';
import {scaleWords, tileTokens, wordsOfHead} from '../../../ops/encodings/lloyd_max_layout.js';
import type {Context, Keeper} from '../../contract.js';
import {bytesOf} from '../../keepers/budget.js';
import {isLent} from '../../sharing/shared_tensors.js';
import {type TransformSide, transformSides} from './profile.js';
import type {SideTensors} from './tensors.js';
import type {SideWidths} from './widths.js';

/** The bits of both sides of one depth in a level. */
export type LevelWidths = Readonly<Record<TransformSide, SideWidths>>;

/** Bytes of one token in one text: codes, scales, a position and, if attention is observed, a score. */
export function tokenBytes(widths: LevelWidths, observed: boolean): number {
  let bytes = 0;
  for (const side of transformSides) {
    const words = widths[side].reduce((sum, ofHead) => sum + wordsOfHead(ofHead) + scaleWords, 0);
    bytes += (4 * words) / tileTokens;
  }
  return bytes + 4 * widths.keys.length * (observed ? 2 : 1);
}

/** Bytes of a budget that tokens may take, beside what they share; undefined if the budget is a number of tokens, or none. */
export function roomOf(
  {budget}: Pick<Context, 'budget'>,
  shared: readonly (SideTensors | Encoding)[],
): number | undefined {
  const bytes = budget === undefined ? undefined : bytesOf(budget);
  return bytes === undefined ? undefined : Math.max(0, bytes - sharedBytes(shared));
}

/** What tables of a text's own take, of one text. Those of a profile are lent by the model. */
function sharedBytes(tables: readonly (SideTensors | Encoding)[]): number {
  const own = tables.flatMap(table => ('basis' in table ? [table.basis, table.mean] : []));
  return own.reduce(
    (sum, table) =>
      table === undefined || 'kind' in table || isLent(table) ? sum : sum + (4 * table.size) / table.shape[0],
    0,
  );
}

/** A depth whose tokens lose bits. */
export interface LevelsOfDepth {
  /** What it gets of a budget, relative to the mean of all depths. */
  readonly share: number;
  readonly levels: readonly LevelWidths[];
  /** Bytes that all tokens share. */
  readonly shared: number;
}

/**
 * Checks the budget of a keeper for a codec with levels: it is in bytes, and there is room for two tiles in each level.
 * @throws InvalidArgumentError if not.
 */
export function expectBudget(keep: Keeper | undefined, depths: readonly LevelsOfDepth[]): void {
  const bytes = keep?.budget === undefined ? undefined : bytesOf(keep.budget);
  if (bytes === undefined) {
    throw new InvalidArgumentError(
      `transform: bits of several levels fall while a budget in bytes is full, and the keeper ` +
        `${keep === undefined || keep.budget === undefined ? 'has none' : `lets ${keep.budget} tokens stay`}; give ` +
        "one, such as keep: {name: 'heaviest', options: {budget: '64kB'}}, or a single number of bits.",
    );
  }
  const needed = depths.map(({share, levels, shared}) => {
    const tiles = levels.reduce((sum, widths) => sum + 2 * tileTokens * tokenBytes(widths, true), 0);
    return (tiles + shared) / share;
  });
  const least = Math.ceil(Math.max(...needed));
  if (bytes >= least) return;
  throw new InvalidArgumentError(
    `transform: a budget of ${keep!.budget} per text and depth is too small for two tiles of ${tileTokens} tokens in each level; the least ` +
      `for this model is "${least}B". Give more, or fewer bits.`,
  );
}
