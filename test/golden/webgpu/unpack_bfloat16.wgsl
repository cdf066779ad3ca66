
    
    
    fn sideOf(words : vec4<i32>, side : i32) -> vec2<i32> {
      return select(words.xy, words.zw, side == 1);
    }

    fn fourBfloats(words : vec4<i32>, side : i32) -> vec4<f32> {
      let own = sideOf(words, side).xxyy;
      return bitcast<vec4<f32>>(vec4<i32>(own.x << 16, own.y & -65536, own.z << 16, own.w & -65536));
    }

    fn weights(group : i32, block : i32, quad : i32, side : i32) -> mat4x4<f32> {
      let at = (group * uniforms.blocks + block) * 32;
      
      return mat4x4<f32>(fourBfloats(matrix[at + 4 * quad + 0], side), fourBfloats(matrix[at + 4 * quad + 1], side), fourBfloats(matrix[at + 4 * quad + 2], side), fourBfloats(matrix[at + 4 * quad + 3], side));
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