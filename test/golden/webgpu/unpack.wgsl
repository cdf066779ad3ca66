
    
    
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
      
      let scale = fourHalves(matrix[at + 16], side);
      let minimum = fourHalves(matrix[at + 17], side);
      let first = sideOf(matrix[at + 2 * quad], side).xxyy;
      let second = sideOf(matrix[at + 2 * quad + 1], side).xxyy;
      return mat4x4<f32>(scale * vec4<f32>((first << vec4<u32>(24, 8, 24, 8)) >> vec4<u32>(24)) + minimum, scale * vec4<f32>((first << vec4<u32>(16, 0, 16, 0)) >> vec4<u32>(24)) + minimum, scale * vec4<f32>((second << vec4<u32>(24, 8, 24, 8)) >> vec4<u32>(24)) + minimum, scale * vec4<f32>((second << vec4<u32>(16, 0, 16, 0)) >> vec4<u32>(24)) + minimum);
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let sides = (uniforms.outputs + 7) / 8 * 2;
      let output = index % sides * 4;
      let input = index / sides * 4;
      let own = weights(output / 8, input / 32, input / 4 % 8, output / 4 % 2);
      for (var j = 0; j < 4; j++) {
        for (var i = 0; i < 4; i++) {
          if (input + j < uniforms.inputs && output + i < uniforms.outputs) {
            result[(input + j) * uniforms.outputs + output + i] = own[j][i];
          }
        }
      }
    }