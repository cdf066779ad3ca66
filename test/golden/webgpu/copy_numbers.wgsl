
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      result[uniforms.resultAt + index] = i32(numbers[uniforms.numbersAt + index]);
    }