import {timesSmaller} from '../../base/units.js';

/** "3.1x smaller than float32": how a cache compares with the same keys and values in float32. */
export function againstFloat32(bytes: number, float32Bytes: number): {times: string; rest: string} {
  const times = timesSmaller(float32Bytes / bytes);
  return times === 'the same' ? {times: 'as large', rest: 'as float32'} : {times, rest: 'than float32'};
}
