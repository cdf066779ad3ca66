/** A run of depths with one policy, written as on the command line: `quantized:bits=4`. */
export interface Band {
  readonly depths: number;
  readonly policy: string;
}

/** How many depths all bands have together. */
export function depthsOf(bands: readonly Band[]): number {
  return bands.reduce((sum, {depths}) => sum + depths, 0);
}

/** The first depth of each band. */
export function startsOf(bands: readonly Band[]): number[] {
  return bands.map((_, index) => depthsOf(bands.slice(0, index)));
}

/** The index of the band that each depth is in. */
export function bandOfDepth(bands: readonly Band[]): number[] {
  return bands.flatMap(({depths}, index) => Array<number>(depths).fill(index));
}

/** Where an edge may go: both bands beside it keep a depth. */
export function edgeRange(bands: readonly Band[], edge: number): {least: number; most: number} {
  const start = startsOf(bands)[edge]!;
  return {least: start + 1, most: start + bands[edge]!.depths + bands[edge + 1]!.depths - 1};
}

/**
 * Moves the edge between two bands.
 * @param edge the index of the band above it.
 * @param to the depth that the band below it shall begin with; as near as `edgeRange` allows.
 */
export function moveEdge(bands: readonly Band[], edge: number, to: number): Band[] {
  const {least, most} = edgeRange(bands, edge);
  const start = startsOf(bands)[edge]!;
  const end = most + 1;
  const at = Math.min(most, Math.max(least, Math.round(to)));
  return bands.map((band, index) => {
    if (index === edge) return {...band, depths: at - start};
    return index === edge + 1 ? {...band, depths: end - at} : band;
  });
}

/** Two bands of one; a band of a single depth stays as it is. */
export function splitBand(bands: readonly Band[], index: number): Band[] {
  return bands.flatMap((band, at) => {
    if (at !== index || band.depths < 2) return [band];
    const upper = Math.ceil(band.depths / 2);
    return [
      {...band, depths: upper},
      {...band, depths: band.depths - upper},
    ];
  });
}

/** Without one band, whose depths go to the one above it, or below if it is the first. The last remaining band cannot be removed. */
export function removeBand(bands: readonly Band[], index: number): Band[] {
  const removed = bands[index];
  if (removed === undefined || bands.length === 1) return [...bands];
  const heir = index === 0 ? 1 : index - 1;
  return bands
    .map((band, at) => (at === heir ? {...band, depths: band.depths + removed.depths} : band))
    .filter((_, at) => at !== index);
}

export function setPolicy(bands: readonly Band[], index: number, policy: string): Band[] {
  return bands.map((band, at) => (at === index ? {...band, policy} : band));
}

/** The same shares of a model with another number of depths. Every band keeps a depth; too many bands lose the last ones. */
export function fitBands(bands: readonly Band[], depths: number): Band[] {
  const before = depthsOf(bands);
  if (before === depths) return [...bands];
  const kept = bands.slice(0, depths);
  let start = 0;
  return kept.map((band, index) => {
    const after = kept.length - 1 - index; // bands that need a depth each
    const ideal = Math.round((depths * depthsOf(bands.slice(0, index + 1))) / before);
    const end = after === 0 ? depths : Math.min(depths - after, Math.max(start + 1, ideal));
    const fitted = {...band, depths: end - start};
    start = end;
    return fitted;
  });
}
