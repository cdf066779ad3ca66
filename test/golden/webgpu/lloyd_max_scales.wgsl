
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let which = index % 3;
      let head = index / 3 % 2;
      let row = index / 6; // of all tiles of all texts
      let textHead = row / uniforms.tiles * 2 + head;
      let first = (textHead * uniforms.tiles + row % uniforms.tiles) * 16;
      var word = 0u;
      for (var i = 0; i < 16; i++) {
        let exponent = u32(exponents[first + i]);
        if (which == 2) { word |= (exponent >> 4u) << u32(2 * i); }
        else if (i / 8 == which) { word |= (exponent & 15u) << u32(4 * (i % 8)); }
      }
      result[index] = bitcast<i32>(word);
    }