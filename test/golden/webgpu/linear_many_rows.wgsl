
    
    
    
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
      let at = (group * uniforms.blocks + block) * 32;
      
      return mat4x4<f32>(fourHalves(matrix[at + 4 * quad + 0], side), fourHalves(matrix[at + 4 * quad + 1], side), fourHalves(matrix[at + 4 * quad + 2], side), fourHalves(matrix[at + 4 * quad + 3], side));
    }

    
    fn fourInputs(row : i32, input : i32) -> vec4<f32> {
      if (row >= uniforms.rows || input >= uniforms.inputs) { return vec4<f32>(0.0); }
      return vec4<f32>(x[(row * uniforms.inputs + input) / 4]);
    }

    
    fn store(row : i32, output : i32, sum : f32) {
      if (row >= uniforms.rows || output >= uniforms.outputs) { return; }
      let at = row * uniforms.outputs + output;
      result[at] = sum + f32(bias[output]);
    }

    var<workgroup> weightTile : array<vec4<f32>, 256>;
    var<workgroup> rowTile : array<vec4<f32>, 576>;

    fn main() {
      let local = i32(localIndex);
      let firstGroup = i32(workgroupId.x) * 4;
      let firstRow = i32(workgroupId.y) * 64;
      let column = local % 8;
      let row = local / 8;
      let ownQuad = local / 8;
      var sums0 = mat4x4<f32>(); var sums32 = mat4x4<f32>();
      for (var block = 0; block < uniforms.blocks; block++) {
        let own = weights(firstGroup + column / 2, block, ownQuad, column % 2);
        let to = 4 * ownQuad * 8 + column;
        weightTile[to] = own[0];
        weightTile[to + 8] = own[1];
        weightTile[to + 16] = own[2];
        weightTile[to + 24] = own[3];
        for (var i = local; i < 512; i += 64) {
          let quad = i % 8;
          rowTile[i / 8 * 9 + quad] = fourInputs(firstRow + i / 8, 32 * block + 4 * quad);
        }
        workgroupBarrier();
        for (var quad = 0; quad < 8; quad++) {
          let at = 4 * quad * 8 + column;
          let tile = mat4x4<f32>(weightTile[at], weightTile[at + 8], weightTile[at + 16], weightTile[at + 24]);
          sums0 += tile * mat4x4<f32>(rowTile[(row + 0) * 9 + quad], rowTile[(row + 8) * 9 + quad], rowTile[(row + 16) * 9 + quad], rowTile[(row + 24) * 9 + quad]);
          sums32 += tile * mat4x4<f32>(rowTile[(row + 32) * 9 + quad], rowTile[(row + 40) * 9 + quad], rowTile[(row + 48) * 9 + quad], rowTile[(row + 56) * 9 + quad]);
        }
        workgroupBarrier();
      }
      let output = 8 * (uniforms.firstGroup + firstGroup) + 4 * column;
      for (var i = 0; i < 4; i++) {
        for (var j = 0; j < 4; j++) {
          store(firstRow + row + 0 + 8 * i, output + j, sums0[i][j]);
          store(firstRow + row + 32 + 8 * i, output + j, sums32[i][j]);
        }
      }
    }