
    const hidden = -3.0e38;
    var<workgroup> tile : array<f32, 1056>;
    var<workgroup> query : array<f32, 128>;
    var<workgroup> scores : array<f32, 128>;
    var<workgroup> rowMax : array<f32, 4>;
    var<workgroup> rowSum : array<f32, 4>;
    var<workgroup> rescale : array<f32, 4>;
    var<workgroup> span : vec2<i32>;
    
    const lloydMaxbd617aafGroups = array<u32, 8>(8u, 132u, 194u, 225u, 246u, 341u, 419u, 464u);
    const lloydMaxbd617aafUpperBits = array<u32, 9>(0u, 1u, 2u, 2u, 4u, 4u, 4u, 0u, 4u);
    const lloydMaxbd617aafUpper = array<f32, 144>(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.7978515625, 0.7978515625, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1.5107421875, -0.453125, 0.453125, 1.5107421875, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1.439453125, -0.537109375, 0.537109375, 1.439453125, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -2.732421875, -2.0693359375, -1.6181640625, -1.255859375, -0.9423828125, -0.6572265625, -0.3876953125, -0.1279296875, 0.1279296875, 0.3876953125, 0.6572265625, 0.9423828125, 1.255859375, 1.6181640625, 2.0693359375, 2.732421875, -2.9609375, -2.0830078125, -1.8408203125, -1.15234375, -0.9853515625, -0.826171875, -0.1904296875, -0.0634765625, 0.0634765625, 0.1904296875, 0.826171875, 0.9853515625, 1.15234375, 1.8408203125, 2.0830078125, 2.9609375, -2.412109375, -1.8349609375, -1.2646484375, -1.064453125, -0.724609375, -0.4248046875, -0.2666015625, -0.078125, 0.078125, 0.2666015625, 0.4248046875, 0.724609375, 1.064453125, 1.2646484375, 1.8349609375, 2.412109375, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -2.3583984375, -1.353515625, -1.0224609375, -0.693359375, -0.611328125, -0.5478515625, -0.5068359375, -0.357421875, 0.357421875, 0.5068359375, 0.5478515625, 0.611328125, 0.693359375, 1.0224609375, 1.353515625, 2.3583984375);
    const lloydMaxbd617aafLower = array<f32, 144>(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.748046875, 0.748046875, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.248046875, 0.248046875, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1.3798828125, -0.4599609375, 0.4599609375, 1.3798828125, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -2.2119140625, -1.9169921875, -1.6220703125, -1.3271484375, -1.0322265625, -0.7373046875, -0.4423828125, -0.1474609375, 0.1474609375, 0.4423828125, 0.7373046875, 1.0322265625, 1.3271484375, 1.6220703125, 1.9169921875, 2.2119140625);
    const lloydMaxbd617aafScales = array<f32, 8>(1, 1.0905077457427979, 1.1892070770263672, 1.2968395948410034, 1.4142135381698608, 1.5422108173370361, 1.6817928552627563, 1.8340080976486206); // from 1 to below 2

    fn capped(score : f32) -> f32 { return score; }
    
    fn loadKeys(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * 4; i += 64) {
        let row = i / 4;
        let unit = i % 4;
        let token = start + row;
        
        let text = head / 2;
        let headOfText = head % 2;
        let group = lloydMaxbd617aafGroups[headOfText * 4 + unit];
        let width = group & 15u;
        let upperBits = lloydMaxbd617aafUpperBits[width];
        let lowerBits = width - upperBits;
        let inTile = token % 16;
        let byte = u32(8 * (inTile % 4));
        let at = (text * uniforms.keyRows + token / 16) * 116 + 4 * i32(group >> 4u) + inTile / 4;
        let scaleAt = ((text * uniforms.keyParamRows + token / 16) * 2 + headOfText) * 3;
        let lowerExponent = (bitcast<u32>(keyParams[scaleAt + inTile / 8]) >> u32(4 * (inTile % 8))) & 15u;
        let upperExponent = (bitcast<u32>(keyParams[scaleAt + 2]) >> u32(2 * inTile)) & 3u;
        let scale = ldexp(lloydMaxbd617aafScales[lowerExponent & 7u], i32((lowerExponent >> 3u) + 2u * upperExponent) - 5);
        for (var e = 0; e < 8; e++) {
          var number = 0.0;
          if (upperBits > 0u) { number = lloydMaxbd617aafUpper[16u * width + ((bitcast<u32>(keyData[at + 4 * i32(0u + ((u32(e) * upperBits) >> 3u))]) >> (byte + ((u32(e) * upperBits) & 7u))) & ((1u << upperBits) - 1u))]; }
          if (lowerBits > 0u) { number += lloydMaxbd617aafLower[16u * width + ((bitcast<u32>(keyData[at + 4 * i32(upperBits + ((u32(e) * lowerBits) >> 3u))]) >> (byte + ((u32(e) * lowerBits) & 7u))) & ((1u << lowerBits) - 1u))]; }
          tile[row * 33 + unit * 8 + e] = number * scale;
        }
      }
    }

    
    fn loadValues(head : i32, start : i32, count : i32) {
      for (var i = i32(localIndex); i < count * 4; i += 64) {
        let row = i / 4;
        let unit = i % 4;
        let token = start + row;
        
        let text = head / 2;
        let headOfText = head % 2;
        let group = lloydMaxbd617aafGroups[headOfText * 4 + unit];
        let width = group & 15u;
        let upperBits = lloydMaxbd617aafUpperBits[width];
        let lowerBits = width - upperBits;
        let inTile = token % 16;
        let byte = u32(8 * (inTile % 4));
        let at = (text * uniforms.valueRows + token / 16) * 116 + 4 * i32(group >> 4u) + inTile / 4;
        let scaleAt = ((text * uniforms.valueParamRows + token / 16) * 2 + headOfText) * 3;
        let lowerExponent = (bitcast<u32>(valueParams[scaleAt + inTile / 8]) >> u32(4 * (inTile % 8))) & 15u;
        let upperExponent = (bitcast<u32>(valueParams[scaleAt + 2]) >> u32(2 * inTile)) & 3u;
        let scale = ldexp(lloydMaxbd617aafScales[lowerExponent & 7u], i32((lowerExponent >> 3u) + 2u * upperExponent) - 5);
        for (var e = 0; e < 8; e++) {
          var number = 0.0;
          if (upperBits > 0u) { number = lloydMaxbd617aafUpper[16u * width + ((bitcast<u32>(valueData[at + 4 * i32(0u + ((u32(e) * upperBits) >> 3u))]) >> (byte + ((u32(e) * upperBits) & 7u))) & ((1u << upperBits) - 1u))]; }
          if (lowerBits > 0u) { number += lloydMaxbd617aafLower[16u * width + ((bitcast<u32>(valueData[at + 4 * i32(upperBits + ((u32(e) * lowerBits) >> 3u))]) >> (byte + ((u32(e) * lowerBits) & 7u))) & ((1u << lowerBits) - 1u))]; }
          tile[row * 32 + unit * 8 + e] = number * scale;
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
      for (var i = local; i < 128; i += 64) {
        let row = firstRow + i / 32;
        if (row < rows) { query[i] = f32(queries[rowIndex(head, row) * 32 + i % 32]); }
      }
      if (local < 4) {
        rowMax[local] = hidden;
        rowSum[local] = 0.0;
      }
      let columnLane = local % 32;
      let rowLane = local / 32;
      var sums : array<f32, 2>;
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
            let q = (i / 32) * 32;
            var sum = 0.0;
            for (var d = 0; d < 32; d++) { sum += query[q + d] * tile[token * 33 + d]; }
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
        for (var r = 0; r < 2; r++) {
          let factor = rescale[min(rowLane + r * 2, 3)];
          for (var c = 0; c < 1; c++) { sums[r * 1 + c] *= factor; }
        }
        for (var t = 0; t < count; t++) {
          for (var c = 0; c < 1; c++) {
            let value = tile[t * 32 + min(columnLane + c * 32, 31)];
            for (var r = 0; r < 2; r++) {
              let row = min(rowLane + r * 2, 3);
              sums[r * 1 + c] += scores[row * 32 + t] * value;
            }
          }
        }
        workgroupBarrier();
      }
      for (var r = 0; r < 2; r++) {
        let row = rowLane + r * 2;
        if (row >= 4 || firstRow + row >= rows) { continue; }
        let at = (i32(workgroupId.x) * uniforms.resultRows + rowIndex(head, firstRow + row)) * 34;
        for (var c = 0; c < 1; c++) {
          let column = columnLane + c * 32;
          if (column < 32) { result[at + column] = sums[r * 1 + c]; }
        }
        if (columnLane == 0) {
          result[at + 32] = select(rowMax[row], -uniforms.INFINITY, rowSum[row] == 0.0);
          result[at + 33] = rowSum[row];
        }
      }
    }