
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.columns;
      let text = row / uniforms.kept;
      let slot = row * uniforms.stride + uniforms.first + index % uniforms.columns;
      let rowOfText = row % uniforms.kept;
      let keptBlocks = uniforms.kept / uniforms.blockRows;
      let block = i32(indices[(text * uniforms.kvHeads + uniforms.head) * keptBlocks + rowOfText / uniforms.blockRows]);
      if (block < 0 || block >= uniforms.rows / uniforms.blockRows) {
        result[slot] = i32(0);
        return;
      }
      let source = text * uniforms.rows + block * uniforms.blockRows + rowOfText % uniforms.blockRows;
      result[slot] = i32(data[source * uniforms.stride + uniforms.first + index % uniforms.columns]);
    }