
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % (uniforms.dim + 2);
      let row = index / (uniforms.dim + 2);
      let start = row * (uniforms.inner + 2);
      let head = row / uniforms.rowsOfHead;
      let largest = f32(partial[start + uniforms.inner]);
      let total = f32(partial[start + uniforms.inner + 1]);
      if (column == uniforms.dim) {
        result[index] = largest + f32(shift[row]);
        return;
      }
      if (column > uniforms.dim) {
        result[index] = total;
        return;
      }
      var sum = 0.0;
      let basisAt = head * uniforms.inner * uniforms.dim + column;
      for (var r = 0; r < uniforms.inner; r++) { sum += f32(partial[start + r]) * f32(basis[basisAt + r * uniforms.dim]); }
      sum += total * f32(mean[head * uniforms.dim + column]);
      result[index] = sum;
    }