import {crc32} from '../../base/crc32.js';
import type {WgslNames} from './kind.js';
import {groupChannels, scaleWords, tileTokens, wordsOfHead, type LloydMaxLayout} from './lloyd_max_layout.js';
import {allWidths, planesOf, type Width} from './lloyd_max_levels.js';

// How shaders read codes of `lloydMax`. A unit is a group of 8 channels of one token.

/** Names begin with this and not with a name of the kind alone: keys and values may have different widths. */
const prefixOf = ({widths}: LloydMaxLayout): string =>
  `lloydMax${crc32(new TextEncoder().encode(JSON.stringify(widths))).toString(16)}`;

/** Tables of a layout: the place of each group of each head in a tile, and the planes of each width. */
export function wgslTables(layout: LloydMaxLayout): string {
  const prefix = prefixOf(layout);
  let vectors = 0;
  const groups = layout.widths.flat().map(width => width | (((vectors += width) - width) << 4));
  const perWidth = Array.from({length: 9}, (_, bits) => allWidths.find(width => width === bits) ?? 0);
  const terms = (plane: number) =>
    perWidth.flatMap(width => {
      const levels = planesOf(width)[plane]?.levels ?? [];
      return Array.from({length: 16}, (_, code) => levels[code] ?? 0);
    });
  const scales = Array.from({length: 8}, (_, e) => Math.fround(2 ** (e / 8)));
  return `
    // a group's width, and the vector at which it begins
    ${constant(`${prefix}Groups`, 'u32', groups)}
    ${constant(`${prefix}UpperBits`, 'u32', perWidth.map(upperBits))}
    ${constant(`${prefix}Upper`, 'f32', terms(0))}
    ${constant(`${prefix}Lower`, 'f32', terms(1))}
    ${constant(`${prefix}Scales`, 'f32', scales)}
`;
}

const upperBits = (width: Width): number => planesOf(width)[0]?.bits ?? 0;

function constant(name: string, type: 'u32' | 'f32', numbers: readonly number[]): string {
  const suffix = type === 'u32' ? 'u' : '';
  return `const ${name} = array<${type}, ${numbers.length}>(${numbers.map(x => `${x}${suffix}`).join(', ')});`;
}

export function wgslOfUnit(
  layout: LloydMaxLayout,
  {data, params, dataRows, paramRows}: WgslNames,
  store: (channel: string, number: string) => string,
): string {
  const prefix = prefixOf(layout);
  const kvHeads = layout.widths.length;
  const words = layout.widths.reduce((sum, ofHead) => sum + wordsOfHead(ofHead), 0);
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
          ${store('unit * ${groupChannels} + e', 'number * scale')}
        }`;
}
