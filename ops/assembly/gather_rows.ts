/**
 * Copies blocks of `blockRows` consecutive rows of `rowBytes` bytes from data [heads, rows] to out [heads, kept, blockRows], by
 * the blocks' indices [heads, kept]. Returns how many indices name no whole block; nothing is copied for those.
 */
export function gatherRows(
  data: usize,
  indices: usize,
  out: usize,
  heads: i32,
  rows: i32,
  blockRows: i32,
  kept: i32,
  rowBytes: i32,
): i32 {
  const blockBytes = <usize>blockRows * <usize>rowBytes;
  const blocks = <u32>(rows / blockRows);
  let outside = 0;
  for (let head = 0; head < heads; head++, data += <usize>rows * <usize>rowBytes) {
    for (let i = 0; i < kept; i++, indices += 4, out += blockBytes) {
      const index = load<u32>(indices);
      if (index < blocks) memory.copy(out, data + <usize>index * blockBytes, blockBytes);
      else outside++;
    }
  }
  return outside;
}
