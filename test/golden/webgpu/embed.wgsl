
    
    
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
      let at = (group * uniforms.blocks + block) * 17;
      
      let scale = fourHalves(matrix[at + 16], side);
      
      let first = sideOf(matrix[at + 2 * quad], side).xxyy;
      let second = sideOf(matrix[at + 2 * quad + 1], side).xxyy;
      return mat4x4<f32>(scale * vec4<f32>((first << vec4<u32>(24, 8, 24, 8)) >> vec4<u32>(24)), scale * vec4<f32>((first << vec4<u32>(16, 0, 16, 0)) >> vec4<u32>(24)), scale * vec4<f32>((second << vec4<u32>(24, 8, 24, 8)) >> vec4<u32>(24)), scale * vec4<f32>((second << vec4<u32>(16, 0, 16, 0)) >> vec4<u32>(24)));
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let fours = (uniforms.dim + 3) / 4;
      let token = index / fours;
      let channel = index % fours * 4;
      let row = ids[token] - uniforms.firstRow;
      let isHere = row >= 0 && row < uniforms.rows;
      if (!isHere && uniforms.firstRow > 0) { return; }
      let here = select(0, row, isHere);
      let own = weights(here / 8, channel / 32, channel / 4 % 8, here / 4 % 2);
      for (var j = 0; j < 4; j++) {
        if (channel + j < uniforms.dim) {
          let number = own[j][here % 4];
          result[token * uniforms.dim + channel + j] = select(0.0, number, isHere);
        }
      }
    }