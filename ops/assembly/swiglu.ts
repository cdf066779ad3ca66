import {expOf4} from './math';

/** out = gate / (1 + e^-gate) * up, number by number. */
export function swiglu(gate: usize, up: usize, out: usize, count: i32): void {
  const vectors = out + (<usize>(count & ~3) << 2);
  for (; out < vectors; gate += 16, up += 16, out += 16) {
    v128.store(out, f32x4.mul(siluOf4(v128.load(gate)), v128.load(up)));
  }
  for (let i = count & 3; i > 0; i--, gate += 4, up += 4, out += 4) {
    v128.store32_lane(out, f32x4.mul(siluOf4(v128.load32_zero(gate)), v128.load32_zero(up)), 0);
  }
}

// @ts-ignore: decorator
@inline
function siluOf4(x: v128): v128 {
  const power = expOf4(f32x4.pmin(f32x4.neg(x), f32x4.splat(88))); // a NaN passes, as the first operand
  return f32x4.div(x, f32x4.add(f32x4.splat(1), power));
}
