import * as tf from '@tensorflow/tfjs';
import type {KVCache} from '../../cache/kv_cache.js';

/** The result of one step of a model, its time and its memory. */
export interface Step {
  /** The logits of every token of the step, `[tokens, vocabSize]`. */
  readonly logits: Float32Array;
  /** Milliseconds from the ids to the logits on the host. */
  readonly ms: number;
  /** The most tensor bytes that were alive at once, beyond those alive before. */
  readonly peakBytes: number;
  /** Growth of tensor bytes by the step, which is that of the cache. Negative if it shrank. */
  readonly keptBytes: number;
}

/** Runs ids through a model with a cache, and reads the logits of all of them. */
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
 * Runs a function and returns its result and the most bytes of tensors, measured after each kernel. (`tf.profile` does the same, but
 * reads back every result to check for NaN, which is too slow while time is measured.)
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
