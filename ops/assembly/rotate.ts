import {madd} from './math';

/**
 * Rotates pairs of channels: (a, b) -> (a cos - b sin, b cos + a sin). x, out [heads, tokens, dim]; cos, sin [tokens, pairs];
 * halves: a pair is channels (i, i + pairs); interleaved: (2i, 2i + 1). Channels from 2 * pairs on are copied.
 */
export function rotate(
  x: usize,
  cosines: usize,
  sines: usize,
  out: usize,
  heads: i32,
  tokens: i32,
  dim: i32,
  pairs: i32,
  interleaved: i32,
): void {
  const rowBytes = (<usize>dim) << 2;
  const halfBytes = (<usize>pairs) << 2;
  for (let head = 0; head < heads; head++) {
    for (let token = 0; token < tokens; token++, x += rowBytes, out += rowBytes) {
      const c = cosines + <usize>token * halfBytes;
      const s = sines + <usize>token * halfBytes;
      let i: usize = 0;
      if (interleaved) {
        for (; i < halfBytes; i += 4) {
          const a = load<f32>(x + 2 * i),
            b = load<f32>(x + 2 * i, 4);
          store<f32>(out + 2 * i, a * load<f32>(c + i) - b * load<f32>(s + i));
          store<f32>(out + 2 * i, b * load<f32>(c + i) + a * load<f32>(s + i), 4);
        }
      } else {
        for (; i + 16 <= halfBytes; i += 16) {
          const a = v128.load(x + i),
            b = v128.load(x + halfBytes + i);
          const cosine = v128.load(c + i),
            sine = v128.load(s + i);
          v128.store(out + i, f32x4.sub(f32x4.mul(a, cosine), f32x4.mul(b, sine)));
          v128.store(out + halfBytes + i, madd(a, sine, f32x4.mul(b, cosine)));
        }
        for (; i < halfBytes; i += 4) {
          const a = load<f32>(x + i),
            b = load<f32>(x + halfBytes + i);
          store<f32>(out + i, a * load<f32>(c + i) - b * load<f32>(s + i));
          store<f32>(out + halfBytes + i, b * load<f32>(c + i) + a * load<f32>(s + i));
        }
      }
      if (rowBytes > 2 * halfBytes)
        memory.copy(out + 2 * halfBytes, x + 2 * halfBytes, rowBytes - 2 * halfBytes);
    }
  }
}
