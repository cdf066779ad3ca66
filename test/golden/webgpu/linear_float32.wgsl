
    
    
    
    fn fourFloats(input : i32, output : i32) -> vec4<f32> {
      if (input >= uniforms.inputs) { return vec4<f32>(0.0); }
      return vec4<f32>(matrix[(input * uniforms.outputs + output) / 4]);
    }

    fn weights(group : i32, block : i32, quad : i32, side : i32) -> mat4x4<f32> {
      let input = 32 * block + 4 * quad;
      let output = 8 * group + 4 * side;
      return mat4x4<f32>(
        fourFloats(input, output), fourFloats(input + 1, output),
        fourFloats(input + 2, output), fourFloats(input + 3, output));
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