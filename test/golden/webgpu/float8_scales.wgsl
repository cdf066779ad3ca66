
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      var largest = 0.0;
      for (var i = 0; i < uniforms.dim; i++) { largest = max(largest, abs(f32(x[index * uniforms.dim + i]))); }
      result[index] = largest / 448.0;
    }