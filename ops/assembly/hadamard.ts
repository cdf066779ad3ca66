/** The orthonormal Hadamard transform of each run of `block` (a power of two) numbers of x: out = x H / sqrt(block). */
export function hadamard(x: usize, out: usize, numbers: i32, block: i32): void {
  const bytes = (<usize>block) << 2;
  const factor = f32x4.splat(1 / sqrt<f32>(<f32>block));
  memory.copy(out, x, (<usize>numbers) << 2);
  for (const end = out + ((<usize>numbers) << 2); out < end; out += bytes) {
    for (let half: usize = 4; half < bytes; half *= 2) butterflies(out, bytes, half);
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) v128.store(out + i, f32x4.mul(v128.load(out + i), factor));
    for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(out + i) * f32x4.extract_lane(factor, 0));
  }
}

/** (a, b) -> (a + b, a - b) for numbers `half` bytes apart. */
function butterflies(numbers: usize, bytes: usize, half: usize): void {
  for (let start: usize = 0; start < bytes; start += 2 * half) {
    const a = numbers + start,
      b = a + half;
    let i: usize = 0;
    for (; i + 16 <= half; i += 16) {
      const x = v128.load(a + i),
        y = v128.load(b + i);
      v128.store(a + i, f32x4.add(x, y));
      v128.store(b + i, f32x4.sub(x, y));
    }
    for (; i < half; i += 4) {
      const x = load<f32>(a + i),
        y = load<f32>(b + i);
      store<f32>(a + i, x + y);
      store<f32>(b + i, x - y);
    }
  }
}
