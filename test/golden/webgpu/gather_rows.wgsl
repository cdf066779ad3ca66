
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.columns;
      let head = row / uniforms.kept;
      let block = i32(indices[row / uniforms.blockRows]);
      if (block < 0 || block >= uniforms.rows / uniforms.blockRows) {
        result[index] = i32(0);
        return;
      }
      let source = head * uniforms.rows + block * uniforms.blockRows + row % uniforms.blockRows;
      result[index] = i32(data[source * uniforms.columns + index % uniforms.columns]);
    }