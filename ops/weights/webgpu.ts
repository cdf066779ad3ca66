import {
  type PackedFormat,
  type WeightFormat,
  inputsOfRecord,
  outputsOfRecord,
  packedFormats,
  recordBytes,
} from './formats.js';

/** How many times four inputs a record has: what `quad` counts. */
export const quadsOfRecord = inputsOfRecord / 4;

/** How many times four outputs a record has: what `side` counts. */
export const sidesOfRecord = outputsOfRecord / 4;

/**
 * WGSL of `weights(group, block, quad, side)`: the weights of inputs `32 block + 4 quad + j` and outputs `8 group + 4 side + i`, as
 * row i of column j of a mat4x4. Those of inputs beyond the matrix are finite, those of outputs beyond it any numbers.
 *
 * It reads the input `matrix`, and `uniforms.blocks` for records, `uniforms.inputs` and `uniforms.outputs` for float32.
 *
 * @param byFours whether `matrix` is bound as vectors of four: records always, float32 only if its outputs are a multiple of four.
 */
export function weightsFunction(format: WeightFormat, byFours: boolean): string {
  if (format === 'float32') return floatWeights(byFours ? fourFloatsByVector : fourFloatsByNumber);
  const {read, columns} = recordReaders[packedFormats[format].bits](format);
  return `
    ${format === 'bfloat16' ? fourBfloats : fourHalves}
    fn weights(group : i32, block : i32, quad : i32, side : i32) -> mat4x4<f32> {
      let at = (group * uniforms.blocks + block) * ${recordBytes(format) / 16};
      ${read}
      return mat4x4<f32>(${columns.join(', ')});
    }
`;
}

interface RecordReader {
  /** Statements that read what all columns need, from the vector `at` of the matrix on. */
  readonly read: string;
  /** The weights of each of the four inputs. */
  readonly columns: readonly string[];
}

const recordReaders: Readonly<Record<4 | 8 | 16, (format: PackedFormat) => RecordReader>> = {
  4: format =>
    scaled(format, 'let codes = matrix[at + quad / 2 * 2 + side] >> vec4<u32>(u32(quad % 2) * 4u);', [
      'codes & vec4<i32>(15)',
      '(codes >> vec4<u32>(8)) & vec4<i32>(15)',
      '(codes >> vec4<u32>(16)) & vec4<i32>(15)',
      '(codes >> vec4<u32>(24)) & vec4<i32>(15)',
    ]),
  // a word has two inputs of two outputs: the first input in its bytes 0 and 2, the second in 1 and 3
  8: format =>
    scaled(
      format,
      `let first = sideOf(matrix[at + 2 * quad], side).xxyy;
      let second = sideOf(matrix[at + 2 * quad + 1], side).xxyy;`,
      ['first', 'second'].flatMap(words =>
        ['24, 8, 24, 8', '16, 0, 16, 0'].map(shifts => `(${words} << vec4<u32>(${shifts})) >> vec4<u32>(24)`),
      ),
    ),
  16: format => ({
    read: '',
    columns: [0, 1, 2, 3].map(
      j => `${format === 'bfloat16' ? 'fourBfloats' : 'fourHalves'}(matrix[at + 4 * quad + ${j}], side)`,
    ),
  }),
};

/** Weights that are a scale times a code, and a minimum if the format has one. */
function scaled(format: PackedFormat, readCodes: string, codes: readonly string[]): RecordReader {
  const {bits, groupSize, hasMinimum} = packedFormats[format];
  const scalesAt = (outputsOfRecord * inputsOfRecord * bits) / 128;
  const scaleAt = groupSize === inputsOfRecord ? scalesAt : `${scalesAt} + quad / ${groupSize / 4}`;
  return {
    read: `
      let scale = fourHalves(matrix[at + ${scaleAt}], side);
      ${hasMinimum ? `let minimum = fourHalves(matrix[at + ${scalesAt + 1}], side);` : ''}
      ${readCodes}`,
    columns: codes.map(code => `scale * vec4<f32>(${code})${hasMinimum ? ' + minimum' : ''}`),
  };
}

const sideOf = `
    fn sideOf(words : vec4<i32>, side : i32) -> vec2<i32> {
      return select(words.xy, words.zw, side == 1);
    }
`;

/** Subnormal numbers are computed, because devices may take them for zeros. */
const fourHalves = `${sideOf}
    fn halves(word : i32) -> vec2<f32> {
      let bits = vec2<i32>(word & 65535, (word >> 16) & 65535);
      let subnormal = vec2<f32>(bits & vec2<i32>(1023)) * 0x1p-24;
      let signed = select(subnormal, -subnormal, bits > vec2<i32>(32767));
      return select(unpack2x16float(bitcast<u32>(word)), signed, (bits & vec2<i32>(31744)) == vec2<i32>(0));
    }
    fn fourHalves(words : vec4<i32>, side : i32) -> vec4<f32> {
      let own = sideOf(words, side);
      return vec4<f32>(halves(own.x), halves(own.y));
    }
`;

const fourBfloats = `${sideOf}
    fn fourBfloats(words : vec4<i32>, side : i32) -> vec4<f32> {
      let own = sideOf(words, side).xxyy;
      return bitcast<vec4<f32>>(vec4<i32>(own.x << 16, own.y & -65536, own.z << 16, own.w & -65536));
    }
`;

const floatWeights = (fourFloats: string) => `
    ${fourFloats}
    fn weights(group : i32, block : i32, quad : i32, side : i32) -> mat4x4<f32> {
      let input = 32 * block + 4 * quad;
      let output = 8 * group + 4 * side;
      return mat4x4<f32>(
        fourFloats(input, output), fourFloats(input + 1, output),
        fourFloats(input + 2, output), fourFloats(input + 3, output));
    }
`;

const fourFloatsByVector = `
    fn fourFloats(input : i32, output : i32) -> vec4<f32> {
      if (input >= uniforms.inputs) { return vec4<f32>(0.0); }
      return vec4<f32>(matrix[(input * uniforms.outputs + output) / 4]);
    }
`;

const fourFloatsByNumber = `
    fn fourFloats(input : i32, output : i32) -> vec4<f32> {
      if (input >= uniforms.inputs) { return vec4<f32>(0.0); }
      let at = input * uniforms.outputs + output;
      return vec4<f32>(f32(matrix[at]), f32(matrix[at + 1]), f32(matrix[at + 2]), f32(matrix[at + 3]));
    }
`;
