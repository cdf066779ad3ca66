
    
    fn integerScale(group : u32) -> f32 { return bitcast<f32>((group >> 1u) & 0x7fff8000u); }
    fn integerZero(group : u32) -> f32 { return unpack2x16float(group).x; }

    fn upperBits(x : f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xffff0000u); }
    fn quotient(a : f32, b : f32) -> f32 {
      let q = a / b;
      let high = upperBits(q);
      let middle = upperBits(q - high);
      let low = q - high - middle;
      return q + (a - high * b - middle * b - low * b) / b;
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.words;
      let token = row % uniforms.tokens;
      let head = row / uniforms.tokens;
      let column = index % uniforms.words;
      let isLower = column >= uniforms.upperWords;
      let bits = 4;
      let shift = u32(0);
      let first = (column - select(0, uniforms.upperWords, isLower)) * (32 / bits);
      var word = 0u;
      for (var e = 0; e < 32 / bits; e++) {
        let channel = first + e;
        if (channel >= uniforms.dim) { break; }
        let groupRow = head * uniforms.paramRows + token / 32;
        let groupColumn = channel;
        let group = bitcast<u32>(params[groupRow * uniforms.paramColumns + groupColumn]);
        let scale = integerScale(group);
        if (scale != 0.0) {
          let steps = round(quotient(f32(x[row * uniforms.dim + channel]), scale) - integerZero(group));
          let code = u32(clamp(steps, 0.0, 15.0));
          word |= ((code >> shift) & ((1u << u32(bits)) - 1u)) << u32(bits * e);
        }
      }
      result[index] = bitcast<i32>(word);
    }