/** A function that multiplies and adds vectors of zeros by `f32x4.relaxed_madd`: the smallest module that needs relaxed SIMD. */
// prettier-ignore
const probe = Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  1, 5, 1, 0x60, 0, 1, 0x7b, // type: () -> v128
  3, 2, 1, 0, // a function of it
  10, 19, 1, 17, 0, // its code, without locals
  0x41, 0, 0xfd, 15, 0x41, 0, 0xfd, 15, 0x41, 0, 0xfd, 15, // i32.const 0, i8x16.splat, three times
  0xfd, 0x85, 2, 11, // f32x4.relaxed_madd, end
);

/** Whether the engine runs the kernels for relaxed SIMD (Node 22, Chrome 114 and later). */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(probe);
}
