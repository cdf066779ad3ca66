import {readFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs';

/** An array in a golden file: flat, row-major. */
export interface GoldenArray {
  readonly shape: number[];
  readonly data: number[];
}

// apart from its use: Vite, which serves this to a browser, would take the whole expression for the URL of an asset
const here = import.meta.url;

/** Reads test/golden/<path>; the caller names what the script beside it writes. */
export function readGolden(path: string): unknown {
  return JSON.parse(readFileSync(new URL(`../golden/${path}`, here), 'utf8'));
}

export function goldenTensor(array: GoldenArray, dtype: 'float32' | 'int32' = 'float32'): tf.Tensor4D {
  return tf.tensor<tf.Rank.R4>(array.data, array.shape as [number, number, number, number], dtype);
}
