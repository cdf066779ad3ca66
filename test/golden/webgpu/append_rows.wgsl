
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % uniforms.columns;
      let row = (index / uniforms.columns) % uniforms.rows;
      let head = index / (uniforms.columns * uniforms.rows);
      let source = (head * uniforms.stride + row) * uniforms.columns + column;
      let destination = (head * uniforms.capacity + uniforms.at + row) * uniforms.columns + column;
      result[destination] = i32(fresh[source]);
    }