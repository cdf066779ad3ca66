/**
 * WGSL of `quotient(a, b)`, rounded correctly if b has at most 16 significant bits. WGSL's own division may be off by 2.5
 * units in the last place (SwiftShader's is), which would change codes; here the remainder, exact by parts of 8 bits, corrects it.
 */
export const quotientFunction = `
    fn upperBits(x : f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xffff0000u); }
    fn quotient(a : f32, b : f32) -> f32 {
      let q = a / b;
      let high = upperBits(q);
      let middle = upperBits(q - high);
      let low = q - high - middle;
      return q + (a - high * b - middle * b - low * b) / b;
    }
`;
