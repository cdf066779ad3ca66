import type * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import {
  groupChannels,
  inverseScales,
  scaleWords,
  tileTokens,
  wordsOfTile,
  type LloydMaxLayout,
} from '../encodings/lloyd_max_layout.js';
import {allWidths, levelsOf, type Levels} from '../encodings/lloyd_max_levels.js';
import {wgslArray, wgslGroups} from '../encodings/lloyd_max_wgsl.js';
import type {KernelInputs} from '../run_op.js';

/** `quantizeLloydMax` in three passes: the exponent of each token's scale, their packing, and the codes. */
export function quantizeLloydMaxWebgpu(
  {z}: KernelInputs<{z: tf.Tensor4D}>,
  layout: LloydMaxLayout,
): tf.TensorInfo[] {
  const programs = webgpuPrograms()!;
  const {dim, widths} = layout;
  const [batch, kvHeads, tokens] = z.shape;
  const tiles = tokens / tileTokens;
  const constants = {dim, widths};
  const exponents = programs.run(
    lloydMaxExponentsShader,
    {constants, inputs: {z}, uniforms: {tokens}, work: batch * kvHeads * tokens},
    [batch, kvHeads, tokens],
    'int32',
  );
  const scales = programs.run(
    lloydMaxScalesShader,
    {
      constants: {kvHeads},
      inputs: {exponents},
      uniforms: {tiles},
      work: batch * tiles * kvHeads * scaleWords,
    },
    [batch, 1, tiles, kvHeads * scaleWords],
    'int32',
  );
  const codes = programs.make([batch, 1, tiles, wordsOfTile(layout)], 'int32');
  const work = (batch * kvHeads * tokens * dim) / (bytesOfWord * groupChannels);
  if (wordsOfTile(layout) > 0)
    programs.runInPlace(
      lloydMaxCodesShader,
      {constants, inputs: {z, exponents}, uniforms: {tokens}, work},
      codes,
    );
  programs.dispose(exponents);
  return [codes, scales];
}

const bytesOfWord = 4;

/** The levels of all widths in ascending order, their codes and the midpoints after them; the reciprocals of scales. */
const levelTables = `
    ${wgslArray(
      'sortedLevels',
      'f32',
      ofAllLevels(({levels}) => levels),
    )}
    ${wgslArray(
      'sortedCodes',
      'u32',
      ofAllLevels(({codes}) => codes),
    )}
    ${wgslArray(
      'midpoints',
      'f32',
      ofAllLevels(({midpoints}) => [...midpoints, 0]),
    )}
    ${wgslArray('inverseScales', 'f32', inverseScales)}

    // the index of the level of a width that is nearest to x
    fn nearestLevel(width : u32, x : f32) -> u32 {
      let first = min((1u << width) - 1u, 127u); // there are levels of 0 to 6 and of 8 bits
      var low = first;
      var high = first + (1u << width) - 1u;
      while (low < high) {
        let middle = (low + high) / 2u;
        if (midpoints[middle] < x) { low = middle + 1u; } else { high = middle; }
      }
      return low;
    }
`;

function ofAllLevels(numbersOf: (levels: Levels) => Iterable<number>): number[] {
  return allWidths.flatMap(width => [...numbersOf(levelsOf(width))]);
}

/** Larger magnitudes give the same codes and the largest scale, and their squares might overflow. */
const largest = '1.0e6';

/** One invocation per token of each head. */
export const lloydMaxExponentsShader: Shader<LloydMaxLayout, 'tokens'> = {
  name: 'LloydMaxExponents',
  uniforms: integers('tokens'),
  code: layout => `
    ${wgslGroups('groups', layout)}
    ${levelTables}
    fn exponentOf(square : f32) -> i32 {
      return i32(clamp(round(40.0 + 4.0 * log2(max(square, 1.0e-30))), 0.0, 63.0));
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let firstGroup = (index / uniforms.tokens % ${layout.widths.length}) * ${layout.dim / groupChannels};
      var squares = 0.0;
      var count = 0.0;
      for (var channel = 0; channel < ${layout.dim}; channel++) {
        if ((groups[firstGroup + channel / ${groupChannels}] & 15u) == 0u) { continue; }
        let number = clamp(f32(z[index * ${layout.dim} + channel]), -${largest}, ${largest});
        squares += number * number;
        count += 1.0;
      }
      if (count == 0.0) {
        result[index] = 0;
        return;
      }
      let inverse = inverseScales[exponentOf(squares / count)];
      var product = 0.0;
      var norm = 0.0;
      for (var channel = 0; channel < ${layout.dim}; channel++) {
        let width = groups[firstGroup + channel / ${groupChannels}] & 15u;
        if (width == 0u) { continue; }
        let number = clamp(f32(z[index * ${layout.dim} + channel]), -${largest}, ${largest});
        let level = sortedLevels[nearestLevel(width, number * inverse)];
        product += number * level;
        norm += level * level;
      }
      let scale = product / norm;
      result[index] = exponentOf(scale * scale);
    }`,
};

/** One invocation per word of three. */
export const lloydMaxScalesShader: Shader<{kvHeads: number}, 'tiles'> = {
  name: 'LloydMaxScales',
  uniforms: integers('tiles'),
  code: ({kvHeads}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let which = index % ${scaleWords};
      let head = index / ${scaleWords} % ${kvHeads};
      let row = index / ${scaleWords * kvHeads}; // of all tiles of all texts
      let textHead = row / uniforms.tiles * ${kvHeads} + head;
      let first = (textHead * uniforms.tiles + row % uniforms.tiles) * ${tileTokens};
      var word = 0u;
      for (var i = 0; i < ${tileTokens}; i++) {
        let exponent = u32(exponents[first + i]);
        if (which == 2) { word |= (exponent >> 4u) << u32(2 * i); }
        else if (i / 8 == which) { word |= (exponent & 15u) << u32(4 * (i % 8)); }
      }
      result[index] = bitcast<i32>(word);
    }`,
};

/** One invocation per group of channels of four tokens, which are the bytes of its words. */
export const lloydMaxCodesShader: Shader<LloydMaxLayout, 'tokens'> = {
  name: 'LloydMaxCodes',
  uniforms: integers('tokens'),
  code: layout => {
    const groups = layout.dim / groupChannels;
    return `
    ${wgslGroups('groups', layout)}
    ${levelTables}
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let group = index % ${groups};
      let quad = index / ${groups}; // of all heads of all texts
      let textHead = quad * ${bytesOfWord} / uniforms.tokens;
      let token = quad * ${bytesOfWord} % uniforms.tokens;
      let entry = groups[textHead % ${layout.widths.length} * ${groups} + group];
      let width = entry & 15u;
      if (width == 0u) { return; }
      var codes : array<u32, ${bytesOfWord * groupChannels}>;
      for (var i = 0; i < ${bytesOfWord}; i++) {
        let row = textHead * uniforms.tokens + token + i;
        let inverse = inverseScales[exponents[row]];
        for (var e = 0; e < ${groupChannels}; e++) {
          let number = clamp(f32(z[row * ${layout.dim} + group * ${groupChannels} + e]), -${largest}, ${largest});
          codes[i * ${groupChannels} + e] = sortedCodes[nearestLevel(width, number * inverse)];
        }
      }
      let tile = textHead / ${layout.widths.length} * (uniforms.tokens / ${tileTokens}) + token / ${tileTokens};
      var at = tile * ${wordsOfTile(layout)} + 4 * i32(entry >> 4u) + token % ${tileTokens} / ${bytesOfWord};
      var below = width; // bits of the planes still to be written
      while (below > 0u) {
        let bits = select(select(1u, 2u, below >= 2u), 4u, below >= 4u);
        below -= bits;
        for (var v = 0u; v < bits; v++) {
          var word = 0u;
          for (var i = 0u; i < ${bytesOfWord}u; i++) {
            for (var e = 0u; e < 8u / bits; e++) {
              let code = codes[i * ${groupChannels}u + v * (8u / bits) + e] >> below;
              word |= (code & ((1u << bits) - 1u)) << (8u * i + e * bits);
            }
          }
          result[at] = bitcast<i32>(word);
          at += 4;
        }
      }
    }`;
  },
};
