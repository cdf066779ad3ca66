
    
    fn upperBits(x : f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xffff0000u); }
    fn quotient(a : f32, b : f32) -> f32 {
      let q = a / b;
      let high = upperBits(q);
      let middle = upperBits(q - high);
      let low = q - high - middle;
      return q + (a - high * b - middle * b - low * b) / b;
    }

    // the bits of a number that is not negative, rounded up to 8 bits of mantissa
    fn roundUp(number : f32) -> u32 { return (bitcast<u32>(number) + 0x7fffu) & 0x7fff8000u; }
    // the largest multiple of 1/256 in float16 that is not above a number
    fn zeroBelow(number : f32) -> f32 {
      let unit = max(bitcast<f32>(bitcast<u32>(number) & 0x7f800000u) * 0.0009765625, 0.00390625);
      let inverse = bitcast<f32>(0x7f000000u - bitcast<u32>(unit));
      return floor(number * inverse) * unit;
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % uniforms.columns;
      let row = index / uniforms.columns;
      let start = row * uniforms.dim + column * 32; let step = 1;
      let count = min(32, uniforms.dim - column * 32);
      var low = f32(x[start]);
      var high = low;
      for (var i = 1; i < count; i++) {
        let number = f32(x[start + i * step]);
        low = min(low, number);
        high = max(high, number);
      }
      let largest = max(abs(low), abs(high));
      let lowest = quotient(low, 14.99609375);
      let range = quotient(high, 14.99609375) - lowest + abs(lowest) * 0.0009765625;
      let scale = roundUp(max(range, largest * 0.000030517578125));
      let zero = zeroBelow(quotient(low, bitcast<f32>(scale)));
      let zeroBits = select(pack2x16float(vec2<f32>(zero, 0.0)), 0u, zero == 0.0);
      result[index] = select(bitcast<i32>(((scale << 1u) & 0xffff0000u) | zeroBits), 0, scale == 0u);
    }