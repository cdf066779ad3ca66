import {dequantizeRow} from './integer';

/** Reads one tile of a stored form. A descriptor is eight 32-bit words, written by ops/attend/wasm.ts. */
// @ts-ignore: decorator
@unmanaged
export class FormDescriptor {
  kind: i32; // 0 dense, 1 integer
  data: u32;
  dataRows: i32; // rows allocated per head, spare capacity included
  dim: i32;
  params: u32;
  paramRows: i32;
  bitsAndAxis: i32; // bits | axis << 8; axis 0: groups run along tokens, 1: along channels
  groupSize: i32;
}

/** The address of tokens `from .. from + count` of one head as dense rows: in place where dense, else decoded to `scratch`. */
export function readTile(form: FormDescriptor, head: i32, from: i32, count: i32, scratch: usize): usize {
  const dim = form.dim;
  if (form.kind == 0) {
    return <usize>form.data + ((<usize>(head * form.dataRows + from) * <usize>dim) << 2);
  }
  for (let token = 0; token < count; token++) {
    dequantizeRow(form, head, from + token, scratch + ((<usize>(token * dim)) << 2));
  }
  return scratch;
}
