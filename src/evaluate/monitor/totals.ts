import type {DepthReport} from '../../../cache/watch/depth_report.js';
import type {PastEvents} from '../../../cache/past/past.js';
import type {DepthSums} from './exact_beside.js';
import type {ReconstructionSquares} from './reconstruction.js';
import type {MonitorRow} from './report.js';

/** What was measured, as sums: of one depth and text, of several texts, or of several depths. */
export type Totals = DepthSums &
  ReconstructionSquares &
  PastEvents &
  Pick<DepthReport, 'float32Bytes' | 'tokensSeen' | 'tokensHeld'> & {
    readonly compressedBytes: number;
    /** How many depths were added up. */
    readonly depths: number;
  };

export function totalsOf(
  {float32Bytes, byteSize, tokensSeen, tokensHeld}: DepthReport,
  {blocksEncoded, svdUpdates, evictedTokens}: PastEvents,
  sums: DepthSums,
  squares: ReconstructionSquares,
): Totals {
  const bytes = {float32Bytes, compressedBytes: byteSize};
  const events = {blocksEncoded, svdUpdates, evictedTokens};
  return {...bytes, tokensSeen, tokensHeld, ...events, ...sums, ...squares, depths: 1};
}

/** Of the texts of one depth: the depths do not add up. */
export function addTexts(a: Totals | undefined, b: Totals): Totals {
  return a === undefined ? b : {...addNumbers(a, b), depths: a.depths};
}

export function addDepths(totals: readonly Totals[]): Totals {
  return totals.reduce(addNumbers);
}

/** With bytes that no depth has alone. */
export function withBytes(totals: Totals, bytes: number): Totals {
  return {...totals, compressedBytes: totals.compressedBytes + bytes};
}

function addNumbers(a: Totals, b: Totals): Totals {
  const names = Object.keys(a) as (keyof Totals)[];
  return Object.fromEntries(names.map(name => [name, a[name] + b[name]])) as unknown as Totals;
}

/** The measures of a row, from its sums. Tokens are those of one depth, on average. */
export function measuresOf(totals: Totals): Omit<MonitorRow, 'depth' | 'policy' | 'keyRank' | 'valueRank'> {
  const {float32Bytes, compressedBytes, tokensSeen, tokensHeld, depths, queries} = totals;
  return {
    float32Bytes,
    compressedBytes,
    ratioToFloat32: compressedBytes / float32Bytes,
    tokensSeen: tokensSeen / depths,
    tokensHeld: tokensHeld / depths,
    entropy: totals.entropy / queries,
    renyi2Entropy: totals.renyi2Entropy / queries,
    keyError: relative(totals.keyError, totals.keyEnergy),
    valueError: relative(totals.valueError, totals.valueEnergy),
    outputError: relative(totals.outputError, totals.outputEnergy),
    blocksEncoded: totals.blocksEncoded,
    svdUpdates: totals.svdUpdates,
    evictedTokens: totals.evictedTokens,
  };
}

/** sqrt(error / energy): a relative Frobenius norm; 0 where there was nothing and nothing came of it. */
function relative(error: number, energy: number): number {
  return error === 0 ? 0 : Math.sqrt(error / energy);
}
