
    var<workgroup> tile : array<f32, 1040>;
    var<workgroup> input : array<f32, 256>;
    var<workgroup> parts : array<f32, 256>;

    fn main() {
      let local = i32(localIndex);
      let firstWord = i32(workgroupId.x) * 16;
      let firstRow = i32(workgroupId.y) * 4;
      let word = local / 4;
      let quarter = local % 4;
      var sums = vec4<f32>(0.0);
      for (var start = 0; start < uniforms.dim; start += 64) {
        for (var i = local; i < 1024; i += 64) {
          let row = firstWord + i / 64;
          let channel = start + i % 64;
          var number = 0.0;
          if (row < uniforms.vocab && channel < uniforms.dim) { number = f32(embedding[row * uniforms.dim + channel]); }
          tile[(i / 64) * 65 + i % 64] = number;
        }
        for (var i = local; i < 256; i += 64) {
          let row = firstRow + i / 64;
          let channel = start + i % 64;
          var number = 0.0;
          if (row < uniforms.rows && channel < uniforms.dim) { number = f32(x[row * uniforms.dim + channel]); }
          input[i] = number;
        }
        workgroupBarrier();
        for (var c = quarter; c < 64; c += 4) {
          let number = tile[word * 65 + c];
          sums += number * vec4<f32>(input[c], input[64 + c], input[128 + c], input[192 + c]);
        }
        workgroupBarrier();
      }
      for (var r = 0; r < 4; r++) { parts[r * 64 + local] = sums[r]; }
      workgroupBarrier();
      let row = firstRow + quarter;
      if (row < uniforms.rows && firstWord + word < uniforms.vocab) {
        let at = quarter * 64 + word * 4;
        result[row * uniforms.vocab + firstWord + word] = parts[at] + parts[at + 1] + parts[at + 2] + parts[at + 3];
      }
    }