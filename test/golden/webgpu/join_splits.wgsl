
    fn numberAt(part : i32, at : i32) -> f32 {
      return f32(splits[part * uniforms.rows * 66 + at]);
    }

    // Whether a partial saw a token. By the bits of its sum: of NaN, comparisons may say anything.
    fn sawAny(sum : f32) -> bool {
      return (bitcast<u32>(sum) & 0x7fffffffu) != 0u;
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % 66;
      let start = (index / 66) * 66;
      var largest = -3.0e38;
      for (var part = 0; part < uniforms.parts; part++) {
        if (sawAny(numberAt(part, start + 65))) { largest = max(largest, numberAt(part, start + 64)); }
      }
      var total = 0.0;
      var sum = 0.0;
      for (var part = 0; part < uniforms.parts; part++) {
        let partSum = numberAt(part, start + 65);
        if (sawAny(partSum)) {
          let factor = exp(max(numberAt(part, start + 64) - largest, -200.0));
          sum += factor * partSum;
          total += factor * numberAt(part, start + column);
        }
      }
      result[index] = select(select(total, select(-uniforms.INFINITY, largest, sawAny(sum)), column == 64), sum, column > 64);
    }