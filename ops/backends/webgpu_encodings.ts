import {float8Formats} from '../float8/formats.js';
import type {Float8Layout, TokenLayout} from '../encodings/encoding.js';
import {workgroupSize} from './webgpu_programs.js';

// How shaders read the encodings of single tokens. A *unit* is what is read at once: a number of a dense row, or a word of codes.

/** How many units one row of an encoding has. */
export function unitsOfRow(layout: TokenLayout): number {
  switch (layout.kind) {
    case 'dense':
      return layout.dim;
    case 'integer':
      return Math.ceil((layout.dim * layout.bits) / 32);
    case 'float8':
      return Math.ceil(layout.dim / 4);
  }
}

/** Names of an encoding's buffers in a shader, and of the uniforms that say how many rows each has for a head. */
export interface EncodingNames {
  readonly data: string;
  readonly params: string;
  readonly dataRows: string;
  readonly paramRows: string;
}

/**
 * WGSL statements that decode one unit, where `head`, `token` and `unit` are i32 variables, and hand each number with its
 * channel to `store`.
 */
export function decodeUnit(
  layout: TokenLayout,
  names: EncodingNames,
  store: (channel: string, number: string) => string,
): string {
  const {data, params, dataRows, paramRows} = names;
  const at = `(head * ${dataRows} + token) * ${unitsOfRow(layout)} + unit`;
  switch (layout.kind) {
    case 'dense':
      return store('unit', `f32(${data}[${at}])`);
    case 'float8':
      return `
        let word = bitcast<u32>(${data}[${at}]);
        let scale = f32(${params}[head * ${paramRows} + token]);
        for (var e = 0; e < 4; e++) {
          let channel = unit * 4 + e;
          if (channel < ${layout.dim}) {
            let code = (word >> u32(8 * e)) & 0xffu;
            ${store('channel', `${layout.format}(code) * scale`)}
          }
        }`;
    case 'integer': {
      const {dim, bits, groupAxis, groupSize} = layout;
      const perWord = 32 / bits;
      const group =
        groupAxis === 'channel'
          ? `(head * ${paramRows} + token / ${groupSize}) * ${dim} + channel`
          : `(head * ${paramRows} + token) * ${Math.ceil(dim / groupSize)} + channel / ${groupSize}`;
      return `
        let word = bitcast<u32>(${data}[${at}]);
        for (var e = 0; e < ${perWord}; e++) {
          let channel = unit * ${perWord} + e;
          if (channel < ${dim}) {
            let code = i32((word >> u32(${bits} * e)) & ${2 ** bits - 1}u);
            let group = bitcast<u32>(${params}[${group}]);
            ${store('channel', 'f32(code + integerZero(group)) * integerScale(group)')}
          }
        }`;
    }
  }
}

/** WGSL functions that `decodeUnit` calls for these layouts. */
export function decodeFunctions(...layouts: readonly TokenLayout[]): string {
  const functions = layouts.map(layout => {
    if (layout.kind === 'integer') return integerFunctions;
    return layout.kind === 'float8' ? float8Function(layout.format) : '';
  });
  return [...new Set(functions)].join('');
}

/**
 * WGSL that decodes rows of an encoding to `result`, float32, a unit an invocation: `uniforms.count` tokens of each head from
 * `uniforms.first` on.
 */
export function decodeRows(layout: TokenLayout, names: EncodingNames): string {
  const store = (channel: string, number: string) => `result[row * ${layout.dim} + ${channel}] = ${number};`;
  return `
    ${decodeFunctions(layout)}
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let unit = index % ${unitsOfRow(layout)};
      let row = index / ${unitsOfRow(layout)};
      let head = row / uniforms.count;
      let token = uniforms.first + row % uniforms.count;
      ${decodeUnit(layout, names, store)}
    }`;
}

/** A group's word holds its scale as bfloat16 in the upper half and its zero point in the lower. */
export const integerFunctions = `
    fn integerScale(group : u32) -> f32 { return bitcast<f32>(group & 0xffff0000u); }
    fn integerZero(group : u32) -> i32 { return bitcast<i32>(group << 16u) >> 16u; }
`;

/**
 * WGSL of `quotient(a, b)`, rounded correctly where b has at most 16 significant bits. WGSL's own division may be off by 2.5
 * units in the last place (SwiftShader's is), which moves codes; here the remainder, exact by parts of 8 bits, corrects it.
 */
export const quotientFunction = `
    fn upperBits(x : f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xffff0000u); }
    fn quotient(a : f32, b : f32) -> f32 {
      let q = a / b;
      let high = upperBits(q);
      let middle = upperBits(q - high);
      let low = q - high - middle;
      return q + (a - high * b - middle * b - low * b) / b;
    }
`;

/** The number of a code: its bits moved to where float32 has them; subnormal ones by a product. */
function float8Function(format: Float8Layout['format']): string {
  const {mantissaBits, bias} = float8Formats[format];
  const isNan = format === 'e4m3' ? '(code & 0x7fu) == 0x7fu' : 'false';
  const isSpecial = format === 'e5m2' ? 'field == 31u' : 'false';
  return `
    fn ${format}(code : u32) -> f32 {
      let sign = (code & 0x80u) << 24u;
      let field = (code & 0x7fu) >> ${mantissaBits}u;
      let mantissa = code & ${2 ** mantissaBits - 1}u;
      if (field == 0u) {
        let magnitude = f32(mantissa) * ${2 ** (1 - bias - mantissaBits)};
        return select(magnitude, -magnitude, sign != 0u);
      }
      let exponent = select(field + ${127 - bias}u, 255u, ${isSpecial});
      let number = sign | (exponent << 23u) | (mantissa << ${23 - mantissaBits}u);
      return bitcast<f32>(select(number, 0x7fc00000u, ${isNan}));
    }
`;
}

/** A WGSL function that loads tokens `start .. start + count` of a head into workgroup memory, all invocations together. */
export function loadFunction(
  name: string,
  layout: TokenLayout,
  names: EncodingNames,
  tile: {readonly array: string; readonly stride: number},
): string {
  const units = unitsOfRow(layout);
  const store = (channel: string, number: string) =>
    `${tile.array}[row * ${tile.stride} + ${channel}] = ${number};`;
  return `
    fn ${name}(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * ${units}; i += ${workgroupSize}) {
        let row = i / ${units};
        let unit = i % ${units};
        let token = start + row;
        ${decodeUnit(layout, names, store)}
      }
    }
`;
}
