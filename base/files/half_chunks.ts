import {InvalidArgumentError} from '../errors.js';
import {toBfloat16, toFloat16} from './float_formats.js';

/** Bytes of one chunk of converted values. */
const chunkBytes = 4 * 1024 * 1024;

const formats = {
  F16: {convert: toFloat16, most: "float16's 65504"},
  BF16: {convert: toBfloat16, most: "bfloat16's 3.39e38"},
} as const;

/**
 * Float32 values as 16-bit floats, little endian, chunk by chunk; rounded to nearest, ties to even.
 * @param name of the tensor, for the message.
 * @throws InvalidArgumentError for a finite value that the format cannot hold.
 */
export function* halfChunks(
  name: string,
  dtype: keyof typeof formats,
  values: Float32Array,
): Generator<Uint8Array> {
  const {convert, most} = formats[dtype];
  const step = chunkBytes / 2;
  for (let from = 0; from < values.length; from += step) {
    const part = values.subarray(from, from + step);
    const halves = new Uint16Array(part.length);
    const overflow = convert(part, halves);
    if (overflow >= 0) {
      throw new InvalidArgumentError(
        `Tensor "${name}" holds ${part[overflow]!} at index ${from + overflow}, beyond ${most}; write it as F32.`,
      );
    }
    yield new Uint8Array(halves.buffer);
  }
}
