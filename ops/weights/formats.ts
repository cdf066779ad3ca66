/**
 * How the weights of a matrix are packed. All formats share one geometry: a *record* holds 8 outputs x 32 inputs, and the records of
 * eight outputs follow each other, so that a product reads one stream from its start to its end. Outputs and inputs beyond the
 * matrix are zeros.
 *
 * | format | weight | a record's bytes | from |
 * |---|---|---|---|
 * | `packed4` | scale code + minimum, codes 0 to 15 | 128 of codes, 8 scales, 8 minima | Q4_0, Q4_1, Q4_K |
 * | `packed8` | scale code, codes -128 to 127 | 256 of codes, 8 scales | Q8_0, Q5_0 |
 * | `packed8Min` | scale code + minimum | 256 of codes, 8 scales, 8 minima | Q5_1, Q5_K |
 * | `packed8By16` | scale code, a scale for 16 inputs | 256 of codes, 8 scales, 8 scales | Q6_K |
 * | `float16`, `bfloat16` | itself | 512 | F16, BF16 |
 *
 * Scales and minima are float16, one for each output. They and weights of 16 bits are finite: kernels decode float16's infinity and
 * NaN as numbers. Within a record, for output c and input i (ops/weights/records.ts):
 *
 * - 4 bits: byte `32 (i >> 3) + 16 (c >> 2) + 4 (c & 3) + (i & 3)`, its upper half if `i & 4`.
 * - 8 bits: byte `16 (i >> 1) + 2 c + (i & 1)`.
 * - 16 bits: bytes from `16 i + 2 c`.
 */
export const packedFormats = {
  packed4: {bits: 4, groupSize: 32, hasMinimum: true, wasm: 0},
  packed8: {bits: 8, groupSize: 32, hasMinimum: false, wasm: 1},
  packed8Min: {bits: 8, groupSize: 32, hasMinimum: true, wasm: 2},
  packed8By16: {bits: 8, groupSize: 16, hasMinimum: false, wasm: 3},
  float16: {bits: 16, groupSize: Infinity, hasMinimum: false, wasm: 4},
  bfloat16: {bits: 16, groupSize: Infinity, hasMinimum: false, wasm: 5},
} as const satisfies Record<string, PackedLayout>;

/** What distinguishes the records of two formats. */
interface PackedLayout {
  /** Bits of a code, or of a number of a format without codes. */
  readonly bits: 4 | 8 | 16;
  /** Consecutive inputs of an output that share a scale; Infinity if there are no scales. */
  readonly groupSize: number;
  readonly hasMinimum: boolean;
  /** Its number in WASM kernels (ops/assembly/packed_record.ts). */
  readonly wasm: number;
}

export type PackedFormat = keyof typeof packedFormats;

/** `float32` is a tensor `[inputs, outputs]` as it is; the others are packed. */
export type WeightFormat = 'float32' | PackedFormat;

/** Every format, for messages and checks. */
export const weightFormats: readonly WeightFormat[] = [
  'float32',
  ...(Object.keys(packedFormats) as PackedFormat[]),
];

export const outputsOfRecord = 8;
export const inputsOfRecord = 32;

/** Bytes of a record, a multiple of 32. */
export function recordBytes(format: PackedFormat): number {
  const {bits, groupSize, hasMinimum} = packedFormats[format];
  const scales = groupSize === Infinity ? 0 : inputsOfRecord / groupSize;
  return outputsOfRecord * (inputsOfRecord * (bits / 8) + 2 * (scales + (hasMinimum ? 1 : 0)));
}

/** The shape of an int32 tensor of records: `[groups of 8 outputs, blocks of 32 inputs, words of a record]`. */
export function recordsShape(
  format: PackedFormat,
  inputs: number,
  outputs: number,
): [groups: number, blocks: number, words: number] {
  return [Math.ceil(outputs / outputsOfRecord), Math.ceil(inputs / inputsOfRecord), recordBytes(format) / 4];
}

/** Bytes of a matrix in memory. */
export function matrixBytes(format: WeightFormat, inputs: number, outputs: number): number {
  if (format === 'float32') return 4 * inputs * outputs;
  return 4 * recordsShape(format, inputs, outputs).reduce((product, axis) => product * axis, 1);
}
