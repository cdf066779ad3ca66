
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let word = bitcast<u32>(params[index]);
      let halvings = u32(uniforms.halvings);
      let isZero = (word & 0x7fffu) == 0u;
      let least = (word & 0x7fffu) + (halvings << 10u);
      let changes = (word >> 24u) > halvings && (isZero || least <= 0x7800u);
      let finer = word - (halvings << 24u) + select(halvings << 10u, 0u, isZero);
      result[index] = bitcast<i32>(select(word, finer, changes));
    }