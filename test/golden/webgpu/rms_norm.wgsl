
    var<workgroup> squares : array<f32, 64>;

    fn main() {
      let row = i32(workgroupId.y) * uniforms.across + i32(workgroupId.x);
      let local = i32(localIndex);
      let start = row * uniforms.dim;
      var sum = 0.0;
      if (row < uniforms.rows) {
        for (var i = local; i < uniforms.dim; i += 64) {
          let number = f32(x[start + i]);
          sum += number * number;
        }
      }
      squares[local] = sum;
      workgroupBarrier();
      for (var half = 32; half > 0; half /= 2) {
        if (local < half) { squares[local] += squares[local + half]; }
        workgroupBarrier();
      }
      if (row >= uniforms.rows) { return; }
      let factor = 1.0 / sqrt(squares[0] / f32(uniforms.dim) + uniforms.epsilon);
      for (var i = local; i < uniforms.dim; i += 64) {
        result[start + i] = f32(x[start + i]) * factor * f32(gain[i]);
      }
    }