
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let which = index % 3;
      let head = index / 3 % 2;
      let row = index / 6; // a kept tile of a text
      let text = row / uniforms.keptTiles;
      let ofHead = (text * 2 + head) * uniforms.keptTiles + row % uniforms.keptTiles;
      var word = 0u;
      for (var i = 0; i < 16; i++) {
        let token = i32(indices[ofHead * 16 + i]);
        if (token < 0 || token >= 16 * uniforms.tiles) { continue; }
        let tile = text * uniforms.tiles + token / 16;
        let at = tile * 6 + head * 3;
        let inTile = u32(token % 16);
        if (which == 2) {
          word |= ((bitcast<u32>(i32(scales[at + 2])) >> (2u * inTile)) & 3u) << u32(2 * i);
        } else if (i / 8 == which) {
          let lower = (bitcast<u32>(i32(scales[at + i32(inTile / 8u)])) >> (4u * (inTile & 7u))) & 15u;
          word |= lower << u32(4 * (i % 8));
        }
      }
      result[index] = bitcast<i32>(word);
    }