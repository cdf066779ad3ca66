// How the codes and parameters of the kind `integer` lie in their tensors: see `IntegerEncoding`.

/** Bits of a code. */
export type IntegerBits = 8 | 6 | 5 | 4 | 3 | 2;

/** How integer codes are grouped and packed. */
export interface IntegerLayout {
  readonly dim: number;
  readonly bits: IntegerBits;
  /** Whether a group is consecutive tokens of one channel, or consecutive channels of one token. */
  readonly groupAxis: 'channel' | 'token';
  /** Numbers per group. */
  readonly groupSize: number;
}

/** The planes of codes, the upper bits first; `shift` is the place of a plane's lowest bit in a code. */
export function planesOf(bits: IntegerBits): readonly {readonly bits: number; readonly shift: number}[] {
  const upper = bits >= 8 ? 8 : bits >= 4 ? 4 : 2;
  const shift = bits - upper;
  return shift === 0
    ? [{bits, shift}]
    : [
        {bits: upper, shift},
        {bits: shift, shift: 0},
      ];
}

/** Words of one plane of a row of codes. */
export function wordsOfPlane(dim: number, bits: number): number {
  return Math.ceil((dim * bits) / 32);
}

/** Words of one row of codes. */
export function wordsOfRow({dim, bits}: Pick<IntegerLayout, 'dim' | 'bits'>): number {
  return planesOf(bits).reduce((sum, plane) => sum + wordsOfPlane(dim, plane.bits), 0);
}

/** Groups of one row of params. */
export function groupsOfRow({dim, groupAxis, groupSize}: Omit<IntegerLayout, 'bits'>): number {
  return groupAxis === 'channel' ? dim : Math.ceil(dim / groupSize);
}

/** Tokens that share a row of params. */
export function tokensOfGroup({
  groupAxis,
  groupSize,
}: Pick<IntegerLayout, 'groupAxis' | 'groupSize'>): number {
  return groupAxis === 'channel' ? groupSize : 1;
}
