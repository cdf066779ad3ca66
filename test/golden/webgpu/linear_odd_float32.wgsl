
    
    
    
    fn fourFloats(input : i32, output : i32) -> vec4<f32> {
      if (input >= uniforms.inputs) { return vec4<f32>(0.0); }
      let at = input * uniforms.outputs + output;
      return vec4<f32>(f32(matrix[at]), f32(matrix[at + 1]), f32(matrix[at + 2]), f32(matrix[at + 3]));
    }

    fn weights(group : i32, block : i32, quad : i32, side : i32) -> mat4x4<f32> {
      let input = 32 * block + 4 * quad;
      let output = 8 * group + 4 * side;
      return mat4x4<f32>(
        fourFloats(input, output), fourFloats(input + 1, output),
        fourFloats(input + 2, output), fourFloats(input + 3, output));
    }

    
    fn fourInputs(row : i32, input : i32) -> vec4<f32> {
      var numbers = vec4<f32>(0.0);
      if (row >= uniforms.rows) { return numbers; }
      for (var i = 0; i < 4; i++) {
        if (input + i < uniforms.inputs) { numbers[i] = f32(x[row * uniforms.inputs + input + i]); }
      }
      return numbers;
    }

    
    fn store(row : i32, output : i32, sum : f32) {
      if (row >= uniforms.rows || output >= uniforms.outputs) { return; }
      let at = row * uniforms.outputs + output;
      result[at] = sum;
    }

    var<workgroup> weightTile : array<vec4<f32>, 256>;
    var<workgroup> rowTile : array<vec4<f32>, 288>;

    fn main() {
      let local = i32(localIndex);
      let firstGroup = i32(workgroupId.x) * 4;
      let firstRow = i32(workgroupId.y) * 32;
      let column = local % 8;
      let row = local / 8;
      let ownQuad = local / 8;
      var sums0 = mat4x4<f32>();
      for (var block = 0; block < uniforms.blocks; block++) {
        let own = weights(firstGroup + column / 2, block, ownQuad, column % 2);
        let to = 4 * ownQuad * 8 + column;
        weightTile[to] = own[0];
        weightTile[to + 8] = own[1];
        weightTile[to + 16] = own[2];
        weightTile[to + 24] = own[3];
        for (var i = local; i < 256; i += 64) {
          let quad = i % 8;
          rowTile[i / 8 * 9 + quad] = fourInputs(firstRow + i / 8, 32 * block + 4 * quad);
        }
        workgroupBarrier();
        for (var quad = 0; quad < 8; quad++) {
          let at = 4 * quad * 8 + column;
          let tile = mat4x4<f32>(weightTile[at], weightTile[at + 8], weightTile[at + 16], weightTile[at + 24]);
          sums0 += tile * mat4x4<f32>(rowTile[(row + 0) * 9 + quad], rowTile[(row + 8) * 9 + quad], rowTile[(row + 16) * 9 + quad], rowTile[(row + 24) * 9 + quad]);
        }
        workgroupBarrier();
      }
      let output = 8 * (uniforms.firstGroup + firstGroup) + 4 * column;
      for (var i = 0; i < 4; i++) {
        for (var j = 0; j < 4; j++) {
          store(firstRow + row + 0 + 8 * i, output + j, sums0[i][j]);
        }
      }
    }