
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let count = uniforms.dim / 4;
      let row = index / uniforms.rank;
      let xAt = row * count;
      let basisAt = (row / uniforms.rowsOfHead * uniforms.rank + index % uniforms.rank) * count;
      var sum = vec4<f32>(0.0);
      for (var i = 0; i < count; i++) { sum += vec4<f32>(x[xAt + i]) * vec4<f32>(basis[basisAt + i]); }
      result[index] = (sum.x + sum.y) + (sum.z + sum.w);
    }