import {workgroupSize} from '../backends/webgpu_programs.js';
import type {WgslNames} from './kind.js';
import {tokenKindOf, type TokenLayout} from './token_kinds.js';

// How shaders read token encodings of any kind.

/** How many units one row of an encoding has: see `WgslReader`. */
export const unitsOfRow = (layout: TokenLayout): number => tokenKindOf(layout).wgsl.unitsOfRow(layout);

/** WGSL functions that the code of `loadFunction` and `decodeRows` calls for these layouts. */
export const decodeFunctions = (...layouts: readonly TokenLayout[]): string =>
  [...new Set(layouts.map(layout => tokenKindOf(layout).wgsl.functions(layout)))].join('');

function decodeUnit(
  layout: TokenLayout,
  names: WgslNames,
  store: (channel: string, number: string) => string,
): string {
  return tokenKindOf(layout).wgsl.decodeUnit(layout, `(head * ${names.dataRows} + token)`, names, store);
}

/**
 * WGSL that decodes rows of an encoding to `result`, float32, one unit per invocation: `uniforms.count` tokens of each head from
 * `uniforms.first` on.
 */
export function decodeRows(layout: TokenLayout, names: WgslNames): string {
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

/** Where tokens are loaded to, and how a number is written that it holds. */
interface LoadedTile {
  readonly array: string;
  readonly stride: number;
  number?(text: string): string;
}

/** A WGSL function that loads tokens `start .. start + count` of a head into workgroup memory, all invocations together. */
export function loadFunction(
  name: string,
  layout: TokenLayout,
  names: WgslNames,
  {array, stride, number = text => text}: LoadedTile,
): string {
  const units = unitsOfRow(layout);
  const store = (channel: string, text: string) =>
    `${array}[row * ${stride} + ${channel}] = ${number(text)};`;
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
