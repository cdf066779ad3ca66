import {InvalidArgumentError} from '../../../base/errors.js';
import {scaleWords, tileTokens, wordsOfHead} from '../../../ops/encodings/lloyd_max_layout.js';
import type {Budget, Context} from '../../contract.js';
import {bytesOf} from '../../keepers/budget.js';
import {type TransformSide, transformSides} from './profile.js';
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

/**
 * Bytes of a budget that tokens may take; undefined if the budget is a number of tokens, or none.
 * @param shared bytes that all tokens of a text share.
 */
export function roomOf({budget}: Pick<Context, 'budget'>, shared: number): number | undefined {
  const bytes = budget === undefined ? undefined : bytesOf(budget);
  return bytes === undefined ? undefined : Math.max(0, bytes - shared);
}

/** How the tokens of a depth are coded. */
export interface DepthLevels {
  /** Bits of each level, most first. Channels that one level mixes with one another have equal bits in each of them. */
  readonly levels: readonly LevelWidths[];
  /** Bytes that all tokens of a text share: directions of its own. Those of a profile belong to the model. */
  readonly shared: number;
}

/** Half of a budget may go to the newest tokens, and some of it to tokens of more bits; two tiles of the rest are too few to choose from. */
const fewestTiles = 4;

/**
 * Checks the budget of a keeper for a codec with levels: it is in bytes, and a few tiles have room.
 * @param depths each with its share of the budget, relative to the mean.
 * @throws InvalidArgumentError if not.
 */
export function expectBudget(
  budget: Budget | undefined,
  depths: readonly (DepthLevels & {readonly share: number})[],
): void {
  const bytes = budget === undefined ? undefined : bytesOf(budget);
  if (bytes === undefined) {
    throw new InvalidArgumentError(
      'transform: bits of several levels fall while a budget in bytes is full, and the budget of this keeper is ' +
        `${budget === undefined ? 'not given' : `${budget} tokens`}; give bytes, as in transform:bits=4.5/2.3,keep=heaviest,budget=64kB, ` +
        'or a single number of bits.',
    );
  }
  const needed = depths.map(({share, levels, shared}) => {
    const tiles = fewestTiles * tileTokens * tokenBytes(levels.at(-1)!, true);
    return (tiles + shared) / share;
  });
  const least = Math.ceil(Math.max(...needed));
  if (bytes >= least) return;
  throw new InvalidArgumentError(
    `transform: a budget of ${budget} per text and depth has no room for ${fewestTiles} tiles of ${tileTokens} tokens in the fewest ` +
      `bits; with these bits and this model the least is "${least}B".`,
  );
}
