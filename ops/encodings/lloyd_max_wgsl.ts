import {crc32} from '../../base/crc32.js';
import type {WgslNames} from './kind.js';
import {
  groupChannels,
  scales,
  scaleWords,
  tileTokens,
  wordsOfTile,
  type LloydMaxLayout,
} from './lloyd_max_layout.js';
import {allWidths, planesOf, type Width} from './lloyd_max_levels.js';

// How shaders read codes of `lloydMax`. A unit is a group of 8 channels of one token.

/** Names begin with this and not with a name of the kind alone: keys and values may have different widths. */
const prefixOf = ({widths}: LloydMaxLayout): string =>
  `lloydMax${crc32(new TextEncoder().encode(JSON.stringify(widths))).toString(16)}`;

/** Tables of a layout: its groups, and the terms of each width's planes. */
export function wgslTables(layout: LloydMaxLayout): string {
  const prefix = prefixOf(layout);
  const terms = (plane: number) =>
    byWidth(width => {
      const levels = planesOf(width)[plane]?.levels ?? [];
      return Array.from({length: 16}, (_, code) => levels[code] ?? 0);
    });
  return `
    ${wgslGroups(`${prefix}Groups`, layout)}
    ${wgslArray(
      `${prefix}UpperBits`,
      'u32',
      byWidth(width => [planesOf(width)[0]?.bits ?? 0]),
    )}
    ${wgslArray(`${prefix}Upper`, 'f32', terms(0))}
    ${wgslArray(`${prefix}Lower`, 'f32', terms(1))}
    ${wgslArray(`${prefix}Scales`, 'f32', scales.subarray(40, 48))} // from 1 to below 2
`;
}

/** A WGSL constant of each group of each head: its width, and from bit 4 on the vector of a tile at which it begins. */
export function wgslGroups(name: string, {widths}: LloydMaxLayout): string {
  let vectors = 0;
  return wgslArray(
    name,
    'u32',
    widths.flat().map(width => width | (((vectors += width) - width) << 4)),
  );
}

/** Numbers for each index from 0 to 8, which are bits of a code; those of 7 are never read. */
function byWidth(numbersOf: (width: Width) => readonly number[]): number[] {
  return Array.from({length: 9}, (_, bits) => allWidths.find(width => width === bits) ?? 0).flatMap(
    numbersOf,
  );
}

export function wgslArray(name: string, type: 'u32' | 'f32', numbers: ArrayLike<number>): string {
  const texts = Array.from(numbers, x => `${x}${type === 'u32' ? 'u' : ''}`);
  return `const ${name} = array<${type}, ${texts.length}>(${texts.join(', ')});`;
}

export function wgslOfUnit(
  layout: LloydMaxLayout,
  {data, params, dataRows, paramRows}: WgslNames,
  store: (channel: string, number: string) => string,
): string {
  const prefix = prefixOf(layout);
  const kvHeads = layout.widths.length;
  const words = wordsOfTile(layout);
  const code = (bits: string, vector: string) =>
    `(bitcast<u32>(${data}[at + 4 * i32(${vector} + ((u32(e) * ${bits}) >> 3u))]) >> ` +
    `(byte + ((u32(e) * ${bits}) & 7u))) & ((1u << ${bits}) - 1u)`;
  return `
        let text = head / ${kvHeads};
        let headOfText = head % ${kvHeads};
        let group = ${prefix}Groups[headOfText * ${layout.dim / groupChannels} + unit];
        let width = group & 15u;
        let upperBits = ${prefix}UpperBits[width];
        let lowerBits = width - upperBits;
        let inTile = token % ${tileTokens};
        let byte = u32(8 * (inTile % 4));
        let at = (text * ${dataRows} + token / ${tileTokens}) * ${words} + 4 * i32(group >> 4u) + inTile / 4;
        let scaleAt = ((text * ${paramRows} + token / ${tileTokens}) * ${kvHeads} + headOfText) * ${scaleWords};
        let lowerExponent = (bitcast<u32>(${params}[scaleAt + inTile / 8]) >> u32(4 * (inTile % 8))) & 15u;
        let upperExponent = (bitcast<u32>(${params}[scaleAt + 2]) >> u32(2 * inTile)) & 3u;
        let scale = ldexp(${prefix}Scales[lowerExponent & 7u], i32((lowerExponent >> 3u) + 2u * upperExponent) - 5);
        for (var e = 0; e < ${groupChannels}; e++) {
          var number = 0.0;
          if (upperBits > 0u) { number = ${prefix}Upper[16u * width + (${code('upperBits', '0u')})]; }
          if (lowerBits > 0u) { number += ${prefix}Lower[16u * width + (${code('lowerBits', 'upperBits')})]; }
          ${store(`unit * ${groupChannels} + e`, 'number * scale')}
        }`;
}
