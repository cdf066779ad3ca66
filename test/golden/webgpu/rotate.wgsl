
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let channel = index % uniforms.dim;
      let own = f32(x[index]);
      if (channel >= 2 * uniforms.pairs) {
        result[index] = own;
        return;
      }
      let token = (index / uniforms.dim) % uniforms.tokens;
      let pair = channel % uniforms.pairs; let first = channel < uniforms.pairs; let step = uniforms.pairs;
      let other = f32(x[index + select(-step, step, first)]);
      let c = f32(cos[token * uniforms.pairs + pair]);
      let s = f32(sin[token * uniforms.pairs + pair]);
      result[index] = own * c + other * select(s, -s, first);
    }