
    
    fn e5m2(code : u32) -> f32 {
      let sign = (code & 0x80u) << 24u;
      let field = (code & 0x7fu) >> 2u;
      let mantissa = code & 3u;
      if (field == 0u) {
        let magnitude = f32(mantissa) * 0.0000152587890625;
        return select(magnitude, -magnitude, sign != 0u);
      }
      let exponent = select(field + 112u, 255u, field == 31u);
      let number = sign | (exponent << 23u) | (mantissa << 21u);
      return bitcast<f32>(select(number, 0x7fc00000u, false));
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let unit = index % 16;
      let row = index / 16;
      let head = row / uniforms.count;
      let token = uniforms.first + row % uniforms.count;
      
        let word = bitcast<u32>(data[(head * uniforms.dataRows + token) * 16 + unit]);
        let scale = f32(params[head * uniforms.paramRows + token]);
        for (var e = 0; e < 4; e++) {
          let channel = unit * 4 + e;
          if (channel < 64) {
            let code = (word >> u32(8 * e)) & 0xffu;
            result[row * 64 + channel] = e5m2(code) * scale;
          }
        }
    }