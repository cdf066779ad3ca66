/** x [rows, columns] -> [columns, rows], whose rows are `stride` and `toStride` bytes apart. */
export function transpose(x: usize, stride: usize, rows: i32, columns: i32, to: usize, toStride: usize): void {
  let row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * stride, to += 16) {
    let from = x;
    let at = to;
    let column = 0;
    for (; column + 4 <= columns; column += 4, from += 16, at += 4 * toStride) transposeFour(from, stride, at, toStride);
    for (; column < columns; column++, from += 4, at += toStride) transposePart(from, stride, 4, 1, at, toStride);
  }
  if (row < rows) transposePart(x, stride, rows - row, columns, to, toStride);
}

function transposePart(x: usize, stride: usize, rows: i32, columns: i32, to: usize, toStride: usize): void {
  for (let row: usize = 0; row < <usize>rows; row++) {
    for (let column: usize = 0; column < <usize>columns; column++) {
      store<f32>(to + column * toStride + (row << 2), load<f32>(x + row * stride + (column << 2)));
    }
  }
}

/** Four rows of four numbers. */
// @ts-ignore: decorator
@inline
function transposeFour(x: usize, stride: usize, to: usize, toStride: usize): void {
  const r0 = v128.load(x),
    r1 = v128.load(x + stride),
    r2 = v128.load(x + 2 * stride),
    r3 = v128.load(x + 3 * stride);
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5),
    high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5),
    high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
  v128.store(to + toStride, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
  v128.store(to + 2 * toStride, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
  v128.store(to + 3 * toStride, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
}
