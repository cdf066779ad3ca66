
    var<workgroup> tile : array<f32, 2080>;
    var<workgroup> queryTile : array<f32, 256>;
    var<workgroup> probabilities : array<f32, 128>;
    var<workgroup> span : vec4<i32>;
    
    fn capped(score : f32) -> f32 { return score; }
    
    fn loadKeys(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * 64; i += 64) {
        let row = i / 64;
        let unit = i % 64;
        let token = start + row;
        tile[row * 65 + unit] = f32(keyData[(head * uniforms.keyRows + token) * 64 + unit]);
      }
    }


    fn rowIndex(head : i32, row : i32) -> i32 {
      return (head * uniforms.group + row % uniforms.group) * uniforms.queryTokens + row / uniforms.group;
    }

    fn main() {
      let local = i32(localIndex);
      let head = i32(workgroupId.y);
      if (local == 0) {
        let begin = i32(workgroupId.x) * 32;
        // queries before the first token's own see none of the tile
        let firstRow = clamp(begin - uniforms.firstQuery, 0, uniforms.queryTokens) * uniforms.group;
        let count = min(32, uniforms.tokens - begin);
        // nor do queries whose window begins behind it
        let lastRow = clamp(begin + count - uniforms.oldest, 0, uniforms.queryTokens) * uniforms.group;
        span = vec4<i32>(begin, count, firstRow, lastRow);
      }
      let bounds = workgroupUniformLoad(&span);
      let start = bounds.x;
      let count = bounds.y;
      let rows = bounds.w;
      loadKeys(head, start, count);
      var total = 0.0;
      var counted = -1;
      for (var firstRow = bounds.z; firstRow < rows; firstRow += 4) {
        for (var i = local; i < 256; i += 64) {
          let row = firstRow + i / 64;
          if (row < rows) { queryTile[i] = f32(queries[rowIndex(head, row) * 64 + i % 64]); }
        }
        workgroupBarrier();
        for (var i = local; i < 128; i += 64) {
          let token = i % 32;
          let row = firstRow + i / 32;
          var p = -1.0;
          let query0 = start + token - row / uniforms.group;
          if (token < count && row < rows && query0 <= uniforms.firstQuery && query0 >= uniforms.oldest) {
            let logSumOfRow = f32(logSum[rowIndex(head, row)]);
            if (logSumOfRow > -3.0e38) {
              let q = (i / 32) * 64;
              var sum = 0.0;
              for (var d = 0; d < 64; d++) { sum += queryTile[q + d] * tile[token * 65 + d]; }
              p = exp(min(capped(sum * uniforms.scale) + f32(bias[head * uniforms.biasRows + start + token]) - logSumOfRow, 0.0));
            }
          }
          probabilities[i] = p;
        }
        workgroupBarrier();
        if (local < count) {
          for (var r = 0; r < min(4, rows - firstRow); r++) {
            let p = probabilities[r * 32 + local];
            let query = (firstRow + r) / uniforms.group;
            if (p < 0.0) { continue; }
            total += p;
          }
        }
        workgroupBarrier();
      }
      if (local < count) { result[head * uniforms.tokens + start + local] = total; }
    }