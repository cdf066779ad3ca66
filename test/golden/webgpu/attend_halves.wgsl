
    enable f16;
    fn half(number : f32) -> f16 {
      let isFinite = (bitcast<u32>(number) & 0x7fffffffu) < 0x7f800000u;
      return select(f16(number), f16(clamp(number, -65504.0, 65504.0)), isFinite);
    }
    const hidden = -3.0e38;
    var<workgroup> tile : array<f16, 2080>;
    var<workgroup> query : array<f32, 256>;
    var<workgroup> scores : array<f32, 128>;
    var<workgroup> rowMax : array<f32, 4>;
    var<workgroup> rowSum : array<f32, 4>;
    var<workgroup> rescale : array<f32, 4>;
    var<workgroup> span : vec2<i32>;
    
    fn integerScale(group : u32) -> f32 { return bitcast<f32>((group >> 1u) & 0x7fff8000u); }
    fn integerZero(group : u32) -> f32 { return unpack2x16float(group).x; }

    fn capped(score : f32) -> f32 { return score; }
    
    var<workgroup> latents : array<f32, 512>;
    
    fn loadLatents(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * 16; i += 64) {
        let row = i / 16;
        let unit = i % 16;
        let token = start + row;
        latents[row * 16 + unit] = f32(keyData[(head * uniforms.keyRows + token) * 16 + unit]);
      }
    }

    fn loadKeys(head : i32, start : i32, count : i32) {
      loadLatents(head, start, count);
      workgroupBarrier();
      let blocks = (count + 3) / 4;
      for (var i = i32(localIndex); i < blocks * 32; i += 64) {
        let row = i / 32 * 4;
        let pair = i % 32;
        let paired = pair < 32;
        let first = select(32 + pair, pair, paired);
        let second = select(first, pair + 32, paired);
        let meanA = queries[uniforms.meanAt + head * 64 + first];
        let meanB = queries[uniforms.meanAt + head * 64 + second];
        var a0 = meanA; var b0 = meanB; var a1 = meanA; var b1 = meanB; var a2 = meanA; var b2 = meanB; var a3 = meanA; var b3 = meanB;
        let basis = uniforms.basisAt + head * 1024;
        for (var r = 0; r < 16; r++) {
          let basisA = queries[basis + r * 64 + first];
          let basisB = queries[basis + r * 64 + second];
          let z0 = latents[(row + 0) * 16 + r]; a0 += z0 * basisA; b0 += z0 * basisB; let z1 = latents[(row + 1) * 16 + r]; a1 += z1 * basisA; b1 += z1 * basisB; let z2 = latents[(row + 2) * 16 + r]; a2 += z2 * basisA; b2 += z2 * basisB; let z3 = latents[(row + 3) * 16 + r]; a3 += z3 * basisA; b3 += z3 * basisB;
        }
        if (row + 0 < count) { placeKey(head, start, row + 0, pair, first, second, a0, b0); } if (row + 1 < count) { placeKey(head, start, row + 1, pair, first, second, a1, b1); } if (row + 2 < count) { placeKey(head, start, row + 2, pair, first, second, a2, b2); } if (row + 3 < count) { placeKey(head, start, row + 3, pair, first, second, a3, b3); }
      }
    }

    // a pair of channels of a token, rotated; a channel without a partner as it is
    fn placeKey(head : i32, start : i32, row : i32, pair : i32, first : i32, second : i32, a : f32, b : f32) {
      if (pair >= 32) {
        tile[row * 65 + first] = half(a);
        return;
      }
      let position = positions[head * uniforms.positionRows + start + row];
      let c = queries[uniforms.cosAt + position * 32 + pair];
      let s = queries[uniforms.sinAt + position * 32 + pair];
      tile[row * 65 + first] = half(a * c - b * s);
      tile[row * 65 + second] = half(b * c + a * s);
    }
    
    fn loadValues(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * 16; i += 64) {
        let row = i / 16;
        let unit = i % 16;
        let token = start + row;
        
        let word = bitcast<u32>(valueData[(head * uniforms.valueRows + token) * 16 + unit]);
        for (var e = 0; e < 4; e++) {
          let channel = unit * 4 + e;
          if (channel < 64) {
            let code = (word >> u32(8 * e)) & 255u;
            let group = bitcast<u32>(valueParams[(head * uniforms.valueParamRows + token) * 2 + channel / 32]);
            tile[row * 64 + channel] = half((f32(code) + integerZero(group)) * integerScale(group));
          }
        }
      }
    }


    // By its bits, and carried past exp and caps, which make numbers of it on some devices.
    fn isNaN(number : f32) -> bool {
      return (bitcast<u32>(number) & 0x7fffffffu) > 0x7f800000u;
    }

    // where a row of this key head's queries lies among all rows of queries
    fn rowIndex(head : i32, row : i32) -> i32 {
      return (head * uniforms.group + row % uniforms.group) * uniforms.queryTokens + row / uniforms.group;
    }

    fn main() {
      let local = i32(localIndex);
      let head = i32(workgroupId.z);
      let firstRow = i32(workgroupId.y) * 4;
      let rows = uniforms.group * uniforms.queryTokens;
      if (local == 0) {
        let lastQuery = (min(firstRow + 4, rows) - 1) / uniforms.group;
        let seen = clamp(uniforms.firstQuery + lastQuery + 1, 0, uniforms.tokens);
        let begin = uniforms.first + i32(workgroupId.x) * uniforms.splitTokens;
        // whole tiles that are too old for the first query are so for all of these
        let unseen = max(uniforms.oldest + firstRow / uniforms.group - begin, 0) / 32 * 32;
        span = vec2<i32>(begin + unseen, min(begin + uniforms.splitTokens, seen));
      }
      for (var i = local; i < 256; i += 64) {
        let row = firstRow + i / 64;
        if (row < rows) { query[i] = f32(queries[rowIndex(head, row) * 64 + i % 64]); }
      }
      if (local < 4) {
        rowMax[local] = hidden;
        rowSum[local] = 0.0;
      }
      let columnLane = local % 64;
      let rowLane = local / 64;
      var sums : array<f32, 4>;
      let bounds = workgroupUniformLoad(&span);
      for (var start = bounds.x; start < bounds.y; start += 32) {
        let count = min(32, bounds.y - start);
        loadKeys(head, start, count);
        workgroupBarrier();
        for (var i = local; i < 128; i += 64) {
          let token = i % 32;
          let row = firstRow + i / 32;
          var score = hidden;
          let query0 = start + token - row / uniforms.group;
          if (token < count && row < rows && query0 <= uniforms.firstQuery && query0 >= uniforms.oldest) {
            let q = (i / 32) * 64;
            var sum = 0.0;
            for (var d = 0; d < 64; d++) { sum += query[q + d] * f32(tile[token * 65 + d]); }
            score = select(capped(sum * uniforms.scale), sum, isNaN(sum));
          }
          scores[i] = score;
        }
        workgroupBarrier();
        loadValues(head, start, count);
        if (local < 4) {
          var largest = rowMax[local];
          for (var t = 0; t < count; t++) { largest = max(largest, scores[local * 32 + t]); }
          rescale[local] = exp(max(rowMax[local] - largest, -200.0));
          rowMax[local] = largest;
        }
        workgroupBarrier();
        for (var i = local; i < 128; i += 64) {
          let score = scores[i];
          let weight = select(exp(score - rowMax[i / 32]), 0.0, score <= hidden);
          scores[i] = select(weight, score, isNaN(score));
        }
        workgroupBarrier();
        if (local < 4) {
          var sum = rowSum[local] * rescale[local];
          for (var t = 0; t < count; t++) { sum += scores[local * 32 + t]; }
          rowSum[local] = sum;
        }
        for (var r = 0; r < 4; r++) {
          let factor = rescale[min(rowLane + r * 1, 3)];
          for (var c = 0; c < 1; c++) { sums[r * 1 + c] *= factor; }
        }
        for (var t = 0; t < count; t++) {
          for (var c = 0; c < 1; c++) {
            let value = f32(tile[t * 64 + min(columnLane + c * 64, 63)]);
            for (var r = 0; r < 4; r++) {
              let row = min(rowLane + r * 1, 3);
              sums[r * 1 + c] += scores[row * 32 + t] * value;
            }
          }
        }
        workgroupBarrier();
      }
      for (var r = 0; r < 4; r++) {
        let row = rowLane + r * 1;
        if (row >= 4 || firstRow + row >= rows) { continue; }
        let at = (i32(workgroupId.x) * uniforms.resultRows + rowIndex(head, firstRow + row)) * 66;
        for (var c = 0; c < 1; c++) {
          let column = columnLane + c * 64;
          if (column < 64) { result[at + column] = sums[r * 1 + c]; }
        }
        if (columnLane == 0) {
          result[at + 64] = select(rowMax[row], -uniforms.INFINITY, rowSum[row] == 0.0);
          result[at + 65] = rowSum[row];
        }
      }
    }