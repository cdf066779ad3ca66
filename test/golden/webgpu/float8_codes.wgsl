
    fn codeOf(number : f32) -> u32 {
      let bits = bitcast<u32>(number);
      let sign = (bits >> 24u) & 0x80u;
      let magnitude = abs(number);
      if (magnitude >= 448.0) { return sign | 126u; }
      let exponent = max(-6, i32((bits >> 23u) & 0xffu) - 127);
      // a normal number's steps begin at 2^3, which is exponent field 1; rounding up carries into the field
      let steps = round(magnitude * bitcast<f32>(u32(130 - exponent) << 23u));
      return sign | u32((exponent - -6) * 8 + i32(steps));
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.words;
      let scale = f32(scales[row]);
      var word = 0u;
      for (var e = 0; e < 4; e++) {
        let channel = (index % uniforms.words) * 4 + e;
        if (channel < uniforms.dim && scale != 0.0) {
          word |= codeOf(f32(x[row * uniforms.dim + channel]) / scale) << u32(8 * e);
        }
      }
      result[index] = bitcast<i32>(word);
    }