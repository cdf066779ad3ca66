import {tanhOf4} from './math';

/** Caps scores, in place: s becomes softCap tanh(s / softCap). Those after `count`, up to a multiple of four, may be overwritten. */
export function capScores(scores: usize, count: i32, softCap: f32): void {
  const cap = f32x4.splat(softCap),
    inverse = f32x4.splat(1 / softCap);
  for (const end = scores + (<usize>count << 2); scores < end; scores += 16) {
    v128.store(scores, f32x4.mul(tanhOf4(f32x4.mul(v128.load(scores), inverse)), cap));
  }
}
