import type * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import {
  scaleWords,
  tileTokens,
  wordsOfHead,
  wordsOfTile,
  type LloydMaxLayout,
} from '../encodings/lloyd_max_layout.js';
import type {KernelInputs} from '../run_op.js';
import type {GatherTiledInputs} from './reference.js';

/** `gatherTiled`, bit for bit: a pass for the codes of each head, and one for all scales. */
export function gatherTiledWebgpu(
  {codes, scales, indices}: KernelInputs<GatherTiledInputs>,
  layout: LloydMaxLayout,
): tf.TensorInfo[] {
  const programs = webgpuPrograms()!;
  const [batch, kvHeads, kept] = indices.shape;
  const [tiles, stride] = [codes.shape[2], wordsOfTile(layout)];
  const keptTiles = kept / tileTokens;
  const keptCodes = programs.make([batch, 1, keptTiles, stride], 'int32');
  let first = 0;
  for (const [head, ofHead] of layout.widths.entries()) {
    const words = wordsOfHead(ofHead);
    const work = batch * keptTiles * words;
    const uniforms = {tiles, keptTiles, stride, first, words, head, kvHeads};
    if (work > 0) {
      const constants = {};
      programs.runInPlace(
        gatherCodesShader,
        {constants, inputs: {codes, indices}, uniforms, work},
        keptCodes,
      );
    }
    first += words;
  }
  const keptScales = programs.run(
    gatherScalesShader,
    {
      constants: {kvHeads},
      inputs: {scales, indices},
      uniforms: {tiles, keptTiles},
      work: batch * keptTiles * kvHeads * scaleWords,
    },
    [batch, 1, keptTiles, kvHeads * scaleWords],
    'int32',
  );
  return [keptCodes, keptScales];
}

type CodesUniform = 'tiles' | 'keptTiles' | 'stride' | 'first' | 'words' | 'head' | 'kvHeads';

/** One invocation per word of codes of a head: the bytes of four tokens. */
export const gatherCodesShader: Shader<object, CodesUniform> = {
  name: 'GatherTiledCodes',
  uniforms: integers('tiles', 'keptTiles', 'stride', 'first', 'words', 'head', 'kvHeads'),
  code: () => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let word = index % uniforms.words;
      let row = index / uniforms.words; // a kept tile of a text
      let text = row / uniforms.keptTiles;
      let ofHead = (text * uniforms.kvHeads + uniforms.head) * uniforms.keptTiles + row % uniforms.keptTiles;
      let firstToken = ofHead * ${tileTokens} + 4 * (word % 4);
      var bytes = 0u;
      for (var i = 0; i < 4; i++) {
        let token = i32(indices[firstToken + i]);
        if (token < 0 || token >= ${tileTokens} * uniforms.tiles) { continue; }
        let tile = text * uniforms.tiles + token / ${tileTokens};
        let at = tile * uniforms.stride + uniforms.first + word / 4 * 4 + token % ${tileTokens} / 4;
        bytes |= ((bitcast<u32>(i32(codes[at])) >> u32(8 * (token % 4))) & 255u) << u32(8 * i);
      }
      result[row * uniforms.stride + uniforms.first + word] = bitcast<i32>(bytes);
    }`,
};

/** One invocation per word of three. */
export const gatherScalesShader: Shader<{kvHeads: number}, 'tiles' | 'keptTiles'> = {
  name: 'GatherTiledScales',
  uniforms: integers('tiles', 'keptTiles'),
  code: ({kvHeads}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let which = index % ${scaleWords};
      let head = index / ${scaleWords} % ${kvHeads};
      let row = index / ${scaleWords * kvHeads}; // a kept tile of a text
      let text = row / uniforms.keptTiles;
      let ofHead = (text * ${kvHeads} + head) * uniforms.keptTiles + row % uniforms.keptTiles;
      var word = 0u;
      for (var i = 0; i < ${tileTokens}; i++) {
        let token = i32(indices[ofHead * ${tileTokens} + i]);
        if (token < 0 || token >= ${tileTokens} * uniforms.tiles) { continue; }
        let tile = text * uniforms.tiles + token / ${tileTokens};
        let at = tile * ${scaleWords * kvHeads} + head * ${scaleWords};
        let inTile = u32(token % ${tileTokens});
        if (which == 2) {
          word |= ((bitcast<u32>(i32(scales[at + 2])) >> (2u * inTile)) & 3u) << u32(2 * i);
        } else if (i / 8 == which) {
          let lower = (bitcast<u32>(i32(scales[at + i32(inTile / 8u)])) >> (4u * (inTile & 7u))) & 15u;
          word |= lower << u32(4 * (i % 8));
        }
      }
      result[index] = bitcast<i32>(word);
    }`,
};
