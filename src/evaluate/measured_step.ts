import * as tf from '@tensorflow/tfjs';
import type {KVCache} from '../../cache/kv_cache.js';

/** What one step of a model gave and took. */
export interface Step {
  /** Of every token of the step: `[tokens, vocabSize]`. */
  readonly logits: Float32Array;
  /** From the ids to the logits on the host. */
  readonly ms: number;
  /** The most tensor bytes that were alive at once, beyond those alive before. */
  readonly peakBytes: number;
  /** Tensor bytes that the step left behind: the cache's growth. Negative where it shrank. */
  readonly keptBytes: number;
}

/** Takes ids into a cache and reads all their logits. */
export async function measuredStep(
  model: tf.LayersModel,
  ids: readonly number[],
  cache: KVCache,
): Promise<Step> {
  const bytesBefore = tf.memory().numBytes;
  const start = performance.now();
  const {result, peakBytes} = withPeakBytes(() =>
    tf.tidy(() => model.apply(tf.tensor2d([...ids], [1, ids.length], 'int32'), {cache}) as tf.Tensor),
  );
  try {
    const logits = await result.data<'float32'>();
    const ms = performance.now() - start;
    return {
      logits,
      ms,
      peakBytes: peakBytes - bytesBefore,
      keptBytes: tf.memory().numBytes - result.size * 4 - bytesBefore,
    };
  } finally {
    result.dispose();
  }
}

/**
 * The most bytes of tensors during `run`, looked at after each kernel. (`tf.profile` does the same, but reads every
 * result back to look for NaN, which is too slow to be on while time is taken.)
 */
function withPeakBytes<Result>(run: () => Result): {result: Result; peakBytes: number} {
  const engine = tf.engine();
  const runKernel = engine.runKernel;
  let peakBytes = tf.memory().numBytes;
  engine.runKernel = new Proxy(runKernel, {
    apply(kernel, self, args) {
      const output: unknown = Reflect.apply(kernel, self, args);
      peakBytes = Math.max(peakBytes, tf.memory().numBytes);
      return output;
    },
  });
  try {
    const result = run();
    return {result, peakBytes};
  } finally {
    engine.runKernel = runKernel;
  }
}
