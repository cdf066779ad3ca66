
    var<workgroup> parts : array<f32, 64>;

    fn main() {
      let row = i32(workgroupId.y) * uniforms.across + i32(workgroupId.x);
      let local = i32(localIndex);
      let start = row * uniforms.dim;
      let end = select(0, uniforms.dim, row < uniforms.rows);
      var largest = 1.0;
      for (var i = local; i < end; i += 64) { largest = max(largest, abs(f32(x[start + i]))); }
      parts[local] = largest;
      
      workgroupBarrier();
      for (var half = 32; half > 0; half /= 2) {
        if (local < half) { parts[local] = max(parts[local], parts[local + half]); }
        workgroupBarrier();
      }
      let scale = parts[0];
      workgroupBarrier();
      var sum = 0.0;
      for (var i = local; i < end; i += 64) {
        let number = f32(x[start + i]) / scale;
        sum += number * number;
      }
      parts[local] = sum;
      
      workgroupBarrier();
      for (var half = 32; half > 0; half /= 2) {
        if (local < half) { parts[local] = parts[local] + parts[local + half]; }
        workgroupBarrier();
      }
      let rest = uniforms.epsilon / scale / scale;
      let factor = 1.0 / sqrt(parts[0] / f32(uniforms.dim) + rest) / scale;
      for (var i = local; i < end; i += 64) {
        result[start + i] = f32(x[start + i]) * factor * f32(gain[i]);
      }
    }