import type {DepthReport} from '../../../cache/watch/depth_report.js';
import type {Past, PastEvents} from '../../../cache/past/past.js';
import type {DepthSums} from './exact_beside.js';
import type {ReconstructionSquares} from './reconstruction.js';
import type {MonitorRow} from './report.js';

/** Sums of measurements: of one depth and text, of several texts, or of several depths. */
export type Totals = DepthSums &
  ReconstructionSquares &
  PastEvents &
  Pick<DepthReport, 'float32Bytes' | 'tokensSeen' | 'tokensHeld'> & {
    readonly compressedBytes: number;
    /** Values that decoding could have left unread, and those that it did. */
    readonly attendedValues: number;
    readonly unreadValues: number;
    /** Number of depths in the sums. */
    readonly depths: number;
  };

/** Returns the totals of one depth and text. */
export function totalsOf(
  {float32Bytes, byteSize, tokensSeen, tokensHeld}: DepthReport,
  {events: {blocksEncoded, svdUpdates, evictedTokens}, skipped}: Pick<Past, 'events' | 'skipped'>,
  sums: DepthSums,
  squares: ReconstructionSquares,
): Totals {
  const bytes = {float32Bytes, compressedBytes: byteSize};
  const events = {blocksEncoded, svdUpdates, evictedTokens};
  const values = {attendedValues: skipped?.tokens ?? 0, unreadValues: skipped?.unread ?? 0};
  return {...bytes, tokensSeen, tokensHeld, ...events, ...values, ...sums, ...squares, depths: 1};
}

/** Adds the totals of two texts at the same depth; `depths` stays. */
export function addTexts(a: Totals | undefined, b: Totals): Totals {
  return a === undefined ? b : {...addNumbers(a, b), depths: a.depths};
}

/** Adds the totals of several depths. */
export function addDepths(totals: readonly Totals[]): Totals {
  return totals.reduce(addNumbers);
}

/** Adds bytes that depths share to `compressedBytes`. */
export function withBytes(totals: Totals, bytes: number): Totals {
  return {...totals, compressedBytes: totals.compressedBytes + bytes};
}

function addNumbers(a: Totals, b: Totals): Totals {
  const names = Object.keys(a) as (keyof Totals)[];
  return Object.fromEntries(names.map(name => [name, a[name] + b[name]])) as unknown as Totals;
}

/** Returns the measurements of a row from its sums. Tokens are means over depths. */
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
    ...(totals.attendedValues > 0 && {unreadValues: totals.unreadValues / totals.attendedValues}),
  };
}

/** sqrt(error / energy), a relative Frobenius norm; 0 if the error is 0. */
function relative(error: number, energy: number): number {
  return error === 0 ? 0 : Math.sqrt(error / energy);
}
