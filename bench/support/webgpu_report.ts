import * as tf from '@tensorflow/tfjs';
import {EigenkvError} from '../../base/errors.js';
import {asTfjsWebgpuBackend} from '../../ops/backends/webgpu_device.js';
import {featuresOf, type WebgpuFeature} from '../../ops/backends/webgpu_features.js';
import {
  type AttentionRow,
  longestPrefill,
  measureAttention,
  measureCopy,
  shapes,
} from './webgpu_attention.js';

/** The GPU that the current backend runs on. */
export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Whether it is a program in place of a GPU, such as llvmpipe or SwiftShader. */
  readonly isSoftware: boolean;
  readonly features: readonly string[];
  /** Those that shaders use. */
  readonly used: readonly WebgpuFeature[];
  readonly mostBindingBytes: number;
}

export async function adapterOf(): Promise<Adapter> {
  const {device} = asTfjsWebgpuBackend(tf.backend())!;
  const adapter = await navigator.gpu.requestAdapter();
  const {vendor = '', architecture = '', description = '', isFallbackAdapter} = adapter?.info ?? {};
  const mostBindingBytes = device.limits.maxStorageBufferBindingSize;
  return {
    ...{vendor, architecture, description, mostBindingBytes},
    isSoftware: isFallbackAdapter === true,
    features: [...(adapter?.features ?? [])],
    used: featuresOf(device),
  };
}

/** What a token of decoding of a whole model took. */
export interface TokenRow {
  readonly op: 'token';
  readonly model: string;
  readonly plan: string;
  readonly tokens: number;
  readonly ms: number;
  /** Means of a token. */
  readonly dispatches: number;
  readonly passes: number;
  readonly submits: number;
  readonly writes: number;
}

export interface Report {
  readonly adapter: Adapter;
  readonly copyGigabytesPerSecond: number;
  readonly attention: readonly AttentionRow[];
  readonly tokens: readonly TokenRow[];
}

/**
 * Times attention over these numbers of tokens, decoding in all shapes before prefill. Shapes that the device cannot hold are left out.
 * @param say gets a line for each measurement.
 * @param keep gets what is known after each shape.
 */
export async function attentionReport(
  lengths: readonly number[],
  say: (line: string) => void,
  keep: (report: Omit<Report, 'tokens'>) => void = () => undefined,
): Promise<Omit<Report, 'tokens'>> {
  const adapter = await adapterOf();
  const copyGigabytesPerSecond = await measureCopy();
  say(
    `${[adapter.description || adapter.architecture, ...adapter.used].join(' with ')}: a copy moves ${copyGigabytesPerSecond.toFixed(1)} GB/s`,
  );
  const attention: AttentionRow[] = [];
  for (const op of ['decode', 'prefill'] as const) {
    for (const shape of shapes) {
      for (const tokens of lengths.filter(length => op === 'decode' || length <= longestPrefill)) {
        tf.engine().startScope();
        try {
          const measured = await measureAttention(op, shape, tokens, copyGigabytesPerSecond);
          for (const row of measured) say(lineOf(row));
          attention.push(...measured);
          keep({adapter, copyGigabytesPerSecond, attention});
        } catch (error) {
          if (!(error instanceof EigenkvError)) throw error;
          say(`${op} ${shape.name} ${tokens} tokens left out: ${error.message}`);
        }
        tf.engine().endScope();
      }
    }
  }
  return {adapter, copyGigabytesPerSecond, attention};
}

/** One line, the ratios first. */
function lineOf({op, shape, tokens, codec, ms, ...row}: AttentionRow): string {
  const rate =
    op === 'decode'
      ? `${row.gigabytesPerSecond.toFixed(1).padStart(7)} GB/s, ${row.ofCopy.toFixed(2)} of a copy's`
      : `${row.teraflops.toFixed(3).padStart(8)} TFLOP/s`;
  return (
    `${op.padEnd(8)} ${shape.padEnd(9)} ${String(tokens).padStart(6)} ${codec.padEnd(15)} ` +
    `${row.timesDense.toFixed(2).padStart(6)} x dense ${(row.timesPlainTfjs?.toFixed(2) ?? '-').padStart(6)} x plain tfjs ` +
    `${ms.toFixed(3).padStart(10)} ms ${rate}`
  );
}
