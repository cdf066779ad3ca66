
    
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let unit = index % 64;
      let row = index / 64;
      let head = row / uniforms.count;
      let token = uniforms.first + row % uniforms.count;
      result[row * 64 + unit] = f32(data[(head * uniforms.dataRows + token) * 64 + unit]);
    }