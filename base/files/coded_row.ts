/**
 * Weights as integer codes, in consecutive blocks of 32: the weight is `scale code + minimum`. Of one output of a matrix, or of several
 * that follow each other.
 */
export interface CodedRow {
  /** 32 for each block. */
  readonly codes: Uint8Array | Int8Array;
  /** The bits of a float16 number for each group of 16 or 32 codes, as the format says. */
  readonly scales: Uint16Array;
  /** The bits of a float16 number for each 32 codes. Default: none. */
  readonly minima?: Uint16Array | undefined;
}
