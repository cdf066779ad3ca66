
    
    fn integerScale(group : u32) -> f32 { return bitcast<f32>((group >> 1u) & 0x7fff8000u); }
    fn integerZero(group : u32) -> f32 { return unpack2x16float(group).x; }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let unit = index % 4;
      let row = index / 4;
      let head = row / uniforms.count;
      let token = uniforms.first + row % uniforms.count;
      
        let word = bitcast<u32>(data[(head * uniforms.dataRows + token) * 4 + unit]);
        for (var e = 0; e < 16; e++) {
          let channel = unit * 16 + e;
          if (channel < 64) {
            let code = (word >> u32(2 * e)) & 3u;
            let group = bitcast<u32>(params[(head * uniforms.paramRows + token / 32) * 64 + channel]);
            result[row * 64 + channel] = (f32(code) + integerZero(group)) * integerScale(group);
          }
        }
    }