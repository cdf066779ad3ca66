
    
    // Of an even count: each of count - 1 rounds pairs all indices, and each two meet once (a round robin).
    fn pairOf(k : i32, round : i32, count : i32) -> vec2<i32> {
      let others = count - 1;
      let first = select((round + k) % others, others, k == 0);
      let second = (round + others - k) % others;
      return vec2(min(first, second), max(first, second));
    }

    // The rotation that makes the product of two directions with squares a and b zero: its sine, and sine / (1 + cosine). One step of
    // Newton's, since a driver may round an inverse root by some units, all in the same direction.
    fn rotationFor(a : f32, b : f32, product : f32) -> vec2<f32> {
      let ratio = (b - a) / (2.0 * product);
      let tangent = select(1.0, -1.0, ratio < 0.0) / (abs(ratio) + sqrt(1.0 + ratio * ratio));
      let square = 1.0 + tangent * tangent;
      let root = inverseSqrt(square);
      let cosine = root * (1.5 - 0.5 * square * root * root);
      let sine = cosine * tangent;
      return vec2(sine, sine / (1.0 + cosine));
    }

    // Both numbers turned (Rutishauser, 1966): small angles add small numbers, and hardly any rounding.
    fn turn(numbers : vec2<f32>, rotation : vec2<f32>) -> vec2<f32> {
      return vec2(
        numbers.x - rotation.x * (numbers.y + rotation.y * numbers.x),
        numbers.y + rotation.x * (numbers.x - rotation.y * numbers.y),
      );
    }

    // The power of two below a number that is not negative, and its inverse, both exact.
    fn powerBelow(number : f32) -> vec2<f32> {
      let bits = clamp(bitcast<u32>(number) & 0x7f800000u, 0x00800000u, 0x7e000000u);
      return vec2(bitcast<f32>(bits), bitcast<f32>(0x7f000000u - bits));
    }

    // By its bits: compilers may take it that no number is NaN.
    fn isFinite(number : f32) -> bool {
      return (bitcast<u32>(number) & 0x7f800000u) != 0x7f800000u;
    }

    fn notANumber() -> f32 {
      var bits = 0x7fc00000u;
      return bitcast<f32>(bits);
    }

    fn main() {
      let matrix = i32(workgroupId.x);
      let dim = uniforms.dim;
      let even = dim + dim % 2;
      let a = matrix * (2 * even + 1) * even;
      let out = matrix * (dim + 1) * dim;
      for (var i = i32(localIndex); i < dim; i += 256) {
        let value = f32(turned[a + i * (even + 1)]);
        let isBad = !isFinite(f32(turned[a])) && !isFinite(f32(turned[a + (dim - 1) * (even + 1)]));
        var place = select(0, i, isBad);
        for (var j = 0; j < dim && !isBad; j++) {
          let other = f32(turned[a + j * (even + 1)]);
          if (other > value || (other == value && j < i)) { place++; }
        }
        result[out + place] = value;
        let row = a + (even + i) * even;
        var largest = 0.0;
        for (var j = 0; j < dim; j++) { largest = max(largest, abs(f32(turned[row + j]))); }
        var leading = 0;
        while (abs(f32(turned[row + leading])) < largest * 0.99999) { leading++; }
        let sign = select(1.0, -1.0, f32(turned[row + leading]) < 0.0);
        for (var j = 0; j < dim; j++) {
          result[out + (place + 1) * dim + j] = select(sign * f32(turned[row + j]), notANumber(), isBad);
        }
      }
    }