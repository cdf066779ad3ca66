
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let own = index % uniforms.block;
      var sum = 0.0;
      for (var i = 0; i < uniforms.block; i++) {
        let number = f32(x[index - own + i]);
        sum += select(number, -number, (countOneBits(i & own) & 1) == 1);
      }
      result[index] = sum * uniforms.factor;
    }