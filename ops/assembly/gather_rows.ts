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

/**
 * The same of one head that shares its rows of `rowBytes` bytes with others: `data` and `out` are the addresses of its columns in the
 * first rows, `columnBytes` its bytes of each row.
 */
export function gatherColumns(
  data: usize,
  indices: usize,
  out: usize,
  rows: i32,
  blockRows: i32,
  kept: i32,
  rowBytes: usize,
  columnBytes: usize,
): i32 {
  const blocks = <u32>(rows / blockRows);
  let outside = 0;
  for (let i = 0; i < kept; i++, indices += 4) {
    const index = load<u32>(indices);
    if (index >= blocks) {
      outside++;
      out += <usize>blockRows * rowBytes;
      continue;
    }
    let from = data + <usize>index * <usize>blockRows * rowBytes;
    for (let row = 0; row < blockRows; row++, from += rowBytes, out += rowBytes) memory.copy(out, from, columnBytes);
  }
  return outside;
}
