
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let word = index % uniforms.words;
      let row = index / uniforms.words; // a kept tile of a text
      let text = row / uniforms.keptTiles;
      let ofHead = (text * uniforms.kvHeads + uniforms.head) * uniforms.keptTiles + row % uniforms.keptTiles;
      let firstToken = ofHead * 16 + 4 * (word % 4);
      var bytes = 0u;
      for (var i = 0; i < 4; i++) {
        let token = i32(indices[firstToken + i]);
        if (token < 0 || token >= 16 * uniforms.tiles) { continue; }
        let tile = text * uniforms.tiles + token / 16;
        let at = tile * uniforms.stride + uniforms.first + word / 4 * 4 + token % 16 / 4;
        bytes |= ((bitcast<u32>(i32(codes[at])) >> u32(8 * (token % 4))) & 255u) << u32(8 * i);
      }
      result[row * uniforms.stride + uniforms.first + word] = bitcast<i32>(bytes);
    }