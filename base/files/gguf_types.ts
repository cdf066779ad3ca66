import {decoded, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0, quantized} from './gguf_blocks.js';
import {iq4_nl, iq4_xs, mxfp4, q2_k, q3_k, tq1_0, tq2_0} from './gguf_small_blocks.js';
import {bf16, f16, f32, f64, i16, i32, i64, i8} from './plain_encodings.js';
import type {Encoding} from './tensor_file.js';

function blocks(dtype: string, blockSize: number, blockBytes: number): Encoding {
  return {dtype, blockSize, blockBytes};
}

/**
 * GGML's tensor types by their number in the file (ggml.h, `enum ggml_type`). Those without `decode` are known only
 * by their size, so that a file holding one can be checked and inspected.
 */
export const ggmlTypes: ReadonlyMap<number, Encoding> = new Map([
  [0, f32],
  [1, f16],
  [2, quantized('Q4_0', 32, 18, q4_0)],
  [3, quantized('Q4_1', 32, 20, q4_1)],
  [6, quantized('Q5_0', 32, 22, q5_0)],
  [7, quantized('Q5_1', 32, 24, q5_1)],
  [8, quantized('Q8_0', 32, 34, q8_0)],
  [9, blocks('Q8_1', 32, 40)],
  [10, decoded('Q2_K', 256, 84, q2_k)],
  [11, quantized('Q3_K', 256, 110, q3_k)],
  [12, quantized('Q4_K', 256, 144, q4_k)],
  [13, quantized('Q5_K', 256, 176, q5_k)],
  [14, quantized('Q6_K', 256, 210, q6_k)],
  [15, blocks('Q8_K', 256, 292)],
  [16, blocks('IQ2_XXS', 256, 66)],
  [17, blocks('IQ2_XS', 256, 74)],
  [18, blocks('IQ3_XXS', 256, 98)],
  [19, blocks('IQ1_S', 256, 50)],
  [20, quantized('IQ4_NL', 32, 18, iq4_nl)],
  [21, blocks('IQ3_S', 256, 110)],
  [22, blocks('IQ2_S', 256, 82)],
  [23, quantized('IQ4_XS', 256, 136, iq4_xs)],
  [24, i8],
  [25, i16],
  [26, i32],
  [27, i64],
  [28, f64],
  [29, blocks('IQ1_M', 256, 56)],
  [30, bf16],
  [34, quantized('TQ1_0', 256, 54, tq1_0)],
  [35, quantized('TQ2_0', 256, 66, tq2_0)],
  [39, quantized('MXFP4', 32, 17, mxfp4)],
  [40, blocks('NVFP4', 64, 36)],
  [41, blocks('Q1_0', 128, 18)],
]);

/** Types that ggml has removed, by their numbers. Nothing reads such files any more. */
export const removedTypes: ReadonlyMap<number, string> = new Map([
  [4, 'Q4_2'],
  [5, 'Q4_3'],
  [31, 'Q4_0_4_4'],
  [32, 'Q4_0_4_8'],
  [33, 'Q4_0_8_8'],
  [36, 'IQ4_NL_4_4'],
  [37, 'IQ4_NL_4_8'],
  [38, 'IQ4_NL_8_8'],
]);

/** The types that are read, for messages. */
export const readableTypes: readonly string[] = [...ggmlTypes.values()]
  .filter(t => t.decode)
  .map(t => t.dtype);
