/**
 * Copies rows [heads, rows] of `rowBytes` bytes each to out [heads, kept], by their indices [heads, kept]. Returns how many
 * indices name no row; nothing is copied for those.
 */
export function gatherRows(
  data: usize,
  indices: usize,
  out: usize,
  heads: i32,
  rows: i32,
  kept: i32,
  rowBytes: i32,
): i32 {
  const bytes = <usize>rowBytes;
  let outside = 0;
  for (let head = 0; head < heads; head++, data += <usize>rows * bytes) {
    for (let i = 0; i < kept; i++, indices += 4, out += bytes) {
      const index = load<u32>(indices);
      if (index < <u32>rows) memory.copy(out, data + <usize>index * bytes, bytes);
      else outside++;
    }
  }
  return outside;
}
