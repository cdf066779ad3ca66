import * as tf from '@tensorflow/tfjs';

/**
 * `x W + b` over the last axis of x, as one 2-D product: the only shape of matMul that is fast on wasm (XNNPACK packs
 * each right side once, so weights lie as `[in, out]` for good). Differentiable.
 */
export function project(x: tf.Tensor, kernel: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const [inputs, outputs] = kernel.shape as [number, number];
  const flat = product(tf.reshape(x, [-1, inputs]), kernel as tf.Tensor2D);
  return tf.reshape(bias ? tf.add(flat, bias) : flat, [...x.shape.slice(0, -1), outputs]);
}

/** `x W`, whose gradients transpose first: matMul's own transposition is ten times slower on wasm. */
function product(x: tf.Tensor2D, kernel: tf.Tensor2D): tf.Tensor {
  // nobody asks for a gradient: not the work of providing one, which a token of decoding would feel
  if (tf.engine().state.gradientDepth === 0) return tf.matMul(x, kernel);
  const differentiable = tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [rows, matrix, save] = args as [tf.Tensor2D, tf.Tensor2D, tf.GradSaveFunc];
    save([rows, matrix]);
    return {
      value: tf.matMul(rows, matrix),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => [
        // tidied, or all transposed kernels of a model would stay until its last gradient is there
        tf.tidy(() => tf.matMul(dy, tf.transpose(saved[1]!))),
        tf.tidy(() => tf.matMul(tf.transpose(saved[0]!), dy)),
      ],
    };
  });
  return differentiable(x, kernel);
}
