// Numbers as types. If a kernel is inlined with a number of rows or bits as an argument, the optimiser merges the copies into one
// loop before it sees that the argument is constant in each; as a type it is constant from the start.

// @ts-ignore: decorator
@unmanaged
export class Zero {}
// @ts-ignore: decorator
@unmanaged
export class One {
  x: u8;
}
// @ts-ignore: decorator
@unmanaged
export class Two {
  x: u16;
}
// @ts-ignore: decorator
@unmanaged
export class Three {
  x: u16;
  y: u8;
}
// @ts-ignore: decorator
@unmanaged
export class Four {
  x: u32;
}
// @ts-ignore: decorator
@unmanaged
export class Five {
  x: u32;
  y: u8;
}
// @ts-ignore: decorator
@unmanaged
export class Six {
  x: u32;
  y: u16;
}
// @ts-ignore: decorator
@unmanaged
export class Eight {
  x: u64;
}
// @ts-ignore: decorator
@unmanaged
export class Sixteen {
  x: u64;
  y: u64;
}

/** The number that a type stands for: its size. */
// @ts-ignore: decorator
@inline
export function countOf<Count>(): i32 {
  return <i32>offsetof<Count>();
}
