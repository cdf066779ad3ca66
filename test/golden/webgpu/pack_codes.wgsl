
    
    fn integerScale(group : u32) -> f32 { return bitcast<f32>(group & 0xffff0000u); }
    fn integerZero(group : u32) -> i32 { return bitcast<i32>(group << 16u) >> 16u; }

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
      var word = 0u;
      for (var e = 0; e < 8; e++) {
        let channel = (index % uniforms.words) * 8 + e;
        if (channel >= uniforms.dim) { break; }
        let groupRow = head * uniforms.paramRows + token / 32;
        let groupColumn = channel;
        let group = bitcast<u32>(params[groupRow * uniforms.paramColumns + groupColumn]);
        let scale = integerScale(group);
        if (scale != 0.0) {
          let steps = clamp(round(quotient(f32(x[row * uniforms.dim + channel]), scale)), -1.0e6, 1.0e6);
          word |= u32(clamp(i32(steps) - integerZero(group), 0, 15)) << u32(4 * e);
        }
      }
      result[index] = bitcast<i32>(word);
    }