
    
    fn upperBits(x : f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xffff0000u); }
    fn quotient(a : f32, b : f32) -> f32 {
      let q = a / b;
      let high = upperBits(q);
      let middle = upperBits(q - high);
      let low = q - high - middle;
      return q + (a - high * b - middle * b - low * b) / b;
    }

    // the bits of a number that is not negative, rounded up to bfloat16
    fn roundUp(number : f32) -> u32 { return (bitcast<u32>(number) + 0xffffu) & 0xffff0000u; }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % uniforms.columns;
      let row = index / uniforms.columns;
      let start = row * uniforms.dim + column * 32; let step = 1;
      let count = min(32, uniforms.dim - column * 32);
      var low = f32(x[start]);
      var high = low;
      for (var i = 1; i < count; i++) {
        let number = f32(x[start + i * step]);
        low = min(low, number);
        high = max(high, number);
      }
      let largest = max(abs(low), abs(high));
      let scale = roundUp(max(quotient(high - low, 15.0), quotient(largest, 32767.0)));
      let zero = i32(clamp(round(quotient(low, bitcast<f32>(scale))), -32768.0, 32767.0));
      result[index] = select(bitcast<i32>(scale | (bitcast<u32>(zero) & 0xffffu)), 0, scale == 0u);
    }