/** Writes fresh rows [heads, freshRows] after the first `at` rows of a buffer [heads, capacity]; a row is rowBytes long. */
export function appendRows(
  buffer: usize,
  fresh: usize,
  heads: i32,
  capacity: i32,
  freshStride: i32,
  freshRows: i32,
  at: i32,
  rowBytes: i32,
): void {
  for (let head = 0; head < heads; head++) {
    memory.copy(
      buffer + <usize>(head * capacity + at) * <usize>rowBytes,
      fresh + <usize>(head * freshStride) * <usize>rowBytes,
      <usize>freshRows * <usize>rowBytes,
    );
  }
}
