
    const hidden = -3.0e38;
    var<workgroup> tile : array<f32, 2080>;
    var<workgroup> query : array<f32, 256>;
    var<workgroup> scores : array<f32, 128>;
    var<workgroup> rowMax : array<f32, 4>;
    var<workgroup> rowSum : array<f32, 4>;
    var<workgroup> rescale : array<f32, 4>;
    var<workgroup> span : vec2<i32>;
    
    fn capped(score : f32) -> f32 { return score; }
    
    fn loadKeys(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * 64; i += 64) {
        let row = i / 64;
        let unit = i % 64;
        let token = start + row;
        tile[row * 65 + unit] = f32(keyData[(head * uniforms.keyRows + token) * 64 + unit]);
      }
    }

    
    fn loadValues(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * 64; i += 64) {
        let row = i / 64;
        let unit = i % 64;
        let token = start + row;
        tile[row * 64 + unit] = f32(valueData[(head * uniforms.valueRows + token) * 64 + unit]);
      }
    }

    enable subgroups;
    var<workgroup> numbers : atomic<i32>;

    // its bounds are the same for all invocations of a subgroup, which no analysis of the text can know
    @diagnostic(off, subgroup_uniformity)
    fn weighRows(count : i32, first : i32, subgroups : i32) {
      let lane = i32(subgroupExclusiveAdd(1u));
      let lanes = i32(subgroupAdd(1u));
      for (var row = first; row < 4; row += subgroups) {
        let at = row * 32;
        let former = rowMax[row];
        var largest = former;
        for (var t = lane; t < count; t += lanes) {
          let score = scores[at + t];
          if (score > largest) { largest = score; }
        }
        largest = subgroupMax(largest);
        let factor = exp(max(former - largest, -200.0));
        var sum = 0.0;
        for (var t = lane; t < count; t += lanes) {
          let score = scores[at + t];
          var weight = select(exp(score - largest), 0.0, score <= hidden);
          weight = select(weight, score, isNaN(score));
          scores[at + t] = weight;
          sum += weight;
        }
        sum = subgroupAdd(sum);
        if (lane == 0) {
          rescale[row] = factor;
          rowMax[row] = largest;
          rowSum[row] = rowSum[row] * factor + sum;
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
      var drawn = 0;
      if (subgroupElect()) { drawn = atomicAdd(&numbers, 1); }
      let subgroup = subgroupBroadcastFirst(drawn);
      workgroupBarrier();
      let subgroups = atomicLoad(&numbers);
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
            for (var d = 0; d < 64; d++) { sum += query[q + d] * tile[token * 65 + d]; }
            score = select(capped(sum * uniforms.scale), sum, isNaN(sum));
          }
          scores[i] = score;
        }
        workgroupBarrier();
        loadValues(head, start, count);
        weighRows(count, subgroup, subgroups);
        workgroupBarrier();
        for (var r = 0; r < 4; r++) {
          let factor = rescale[min(rowLane + r * 1, 3)];
          for (var c = 0; c < 1; c++) { sums[r * 1 + c] *= factor; }
        }
        for (var t = 0; t < count; t++) {
          for (var c = 0; c < 1; c++) {
            let value = tile[t * 64 + min(columnLane + c * 64, 63)];
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