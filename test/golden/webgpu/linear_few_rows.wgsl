
    
    
    
    fn sideOf(words : vec4<i32>, side : i32) -> vec2<i32> {
      return select(words.xy, words.zw, side == 1);
    }

    fn halves(word : i32) -> vec2<f32> {
      let bits = vec2<i32>(word & 65535, (word >> 16) & 65535);
      let subnormal = vec2<f32>(bits & vec2<i32>(1023)) * 0x1p-24;
      let signed = select(subnormal, -subnormal, bits > vec2<i32>(32767));
      return select(unpack2x16float(bitcast<u32>(word)), signed, (bits & vec2<i32>(31744)) == vec2<i32>(0));
    }
    fn fourHalves(words : vec4<i32>, side : i32) -> vec4<f32> {
      let own = sideOf(words, side);
      return vec4<f32>(halves(own.x), halves(own.y));
    }

    fn weights(group : i32, block : i32, quad : i32, side : i32) -> mat4x4<f32> {
      let at = (group * uniforms.blocks + block) * 10;
      
      let scale = fourHalves(matrix[at + 8], side);
      let minimum = fourHalves(matrix[at + 9], side);
      let codes = matrix[at + quad / 2 * 2 + side] >> vec4<u32>(u32(quad % 2) * 4u);
      return mat4x4<f32>(scale * vec4<f32>(codes & vec4<i32>(15)) + minimum, scale * vec4<f32>((codes >> vec4<u32>(8)) & vec4<i32>(15)) + minimum, scale * vec4<f32>((codes >> vec4<u32>(16)) & vec4<i32>(15)) + minimum, scale * vec4<f32>((codes >> vec4<u32>(24)) & vec4<i32>(15)) + minimum);
    }

    
    fn fourInputs(row : i32, input : i32) -> vec4<f32> {
      if (row >= uniforms.rows || input >= uniforms.inputs) { return vec4<f32>(0.0); }
      return vec4<f32>(x[(row * uniforms.inputs + input) / 4]);
    }

    
    fn store(row : i32, output : i32, sum : f32) {
      if (row >= uniforms.rows || output >= uniforms.outputs) { return; }
      let at = row * uniforms.outputs + output;
      result[at] = sum;
    }

    var<workgroup> sums : array<mat4x4<f32>, 128>;

    fn main() {
      let local = i32(localIndex);
      let group = i32(workgroupId.x);
      let firstRow = i32(workgroupId.y) * 4;
      let quad = local % 8;
      var low = mat4x4<f32>();
      var high = mat4x4<f32>();
      for (var block = local / 8; block < uniforms.blocks; block += 8) {
        let input = 32 * block + 4 * quad;
        let numbers = mat4x4<f32>(fourInputs(firstRow, input), fourInputs(firstRow + 1, input), fourInputs(firstRow + 2, input), fourInputs(firstRow + 3, input));
        low += weights(group, block, quad, 0) * numbers;
        high += weights(group, block, quad, 1) * numbers;
      }
      sums[local] = low;
      sums[64 + local] = high;
      workgroupBarrier();
      for (var half = 32; half > 0; half /= 2) {
        if (local < half) {
          sums[local] += sums[local + half];
          sums[64 + local] += sums[64 + local + half];
        }
        workgroupBarrier();
      }
      if (local < 32) {
        let side = local / 4 % 2;
        let row = local / 8;
        store(firstRow + row, 8 * (uniforms.firstGroup + group) + local % 8, sums[side * 64][row][local % 4]);
      }
    }