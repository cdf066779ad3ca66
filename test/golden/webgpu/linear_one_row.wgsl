
    
    
    
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
      let at = (group * uniforms.blocks + block) * 18;
      
      let scale = fourHalves(matrix[at + 16 + quad / 4], side);
      
      let first = sideOf(matrix[at + 2 * quad], side).xxyy;
      let second = sideOf(matrix[at + 2 * quad + 1], side).xxyy;
      return mat4x4<f32>(scale * vec4<f32>((first << vec4<u32>(24, 8, 24, 8)) >> vec4<u32>(24)), scale * vec4<f32>((first << vec4<u32>(16, 0, 16, 0)) >> vec4<u32>(24)), scale * vec4<f32>((second << vec4<u32>(24, 8, 24, 8)) >> vec4<u32>(24)), scale * vec4<f32>((second << vec4<u32>(16, 0, 16, 0)) >> vec4<u32>(24)));
    }

    
    fn fourInputs(row : i32, input : i32) -> vec4<f32> {
      if (row >= uniforms.rows || input >= uniforms.inputs) { return vec4<f32>(0.0); }
      return vec4<f32>(x[(row * uniforms.inputs + input) / 4]);
    }

    
    fn store(row : i32, output : i32, sum : f32) {
      if (row >= uniforms.rows || output >= uniforms.outputs) { return; }
      let at = row * uniforms.outputs + output;
      result[at] = sum + f32(residual[at]);
    }

    var<workgroup> sums : array<vec4<f32>, 128>;

    fn main() {
      let local = i32(localIndex);
      let group = i32(workgroupId.x);
      let firstRow = i32(workgroupId.y) * 1;
      let quad = local % 8;
      var low = vec4<f32>();
      var high = vec4<f32>();
      for (var block = local / 8; block < uniforms.blocks; block += 8) {
        let input = 32 * block + 4 * quad;
        let numbers = vec4<f32>(fourInputs(firstRow, input));
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
      if (local < 8) {
        let side = local / 4 % 2;
        let row = local / 8;
        store(firstRow + row, 8 * (uniforms.firstGroup + group) + local % 8, sums[side * 64][local % 4]);
      }
    }