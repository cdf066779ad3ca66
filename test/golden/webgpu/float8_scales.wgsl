
    
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
      var largest = 0.0;
      for (var i = 0; i < uniforms.dim; i++) { largest = max(largest, abs(f32(x[index * uniforms.dim + i]))); }
      result[index] = quotient(largest, 448.0);
    }