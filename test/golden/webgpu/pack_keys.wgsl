
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      var at = index;
      if (at < uniforms.queriesSize) { result[index] = f32(queries[at]); return; }
      at -= uniforms.queriesSize;
      if (at < uniforms.basisSize) { result[index] = f32(basis[at]); return; }
      at -= uniforms.basisSize;
      if (at < uniforms.meanSize) { result[index] = f32(mean[at]); return; }
      at -= uniforms.meanSize;
      if (at < uniforms.tableSize) { result[index] = f32(cos[uniforms.tableFrom + at]); return; }
      result[index] = f32(sin[uniforms.tableFrom + at - uniforms.tableSize]);
    }