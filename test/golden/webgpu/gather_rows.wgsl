
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.columns;
      let head = row / uniforms.kept;
      let source = i32(indices[row]);
      if (source < 0 || source >= uniforms.rows) {
        result[index] = i32(0);
        return;
      }
      result[index] = i32(data[(head * uniforms.rows + source) * uniforms.columns + index % uniforms.columns]);
    }