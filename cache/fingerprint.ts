import * as tf from '@tensorflow/tfjs';

/** Numbers of each weight that are looked at. */
const looked = 256;

/**
 * Sixteen hexadecimal digits that tell a model from others: of the shapes and the first numbers of the given layers' weights,
 * in order (FNV-1a, twice 32 bits). The same weights give the same digits on every backend.
 */
export async function fingerprintOf(layers: readonly tf.layers.Layer[]): Promise<string> {
  let [low, high] = [0x811c9dc5, 0x9747b28c];
  const take = (byte: number) => {
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ byte, 0x01000193) ^ (low >>> 13);
  };
  for (const layer of layers) {
    for (const variable of layer.weights) {
      const first = tf.tidy(() => {
        const flat = tf.reshape(variable.read(), [-1]);
        return tf.slice(flat, [0], [Math.min(looked, flat.size)]);
      });
      const numbers = await first.data<'float32'>();
      first.dispose();
      for (const byte of new TextEncoder().encode(variable.shape.join())) take(byte);
      // a copy: the numbers need not start on a byte of their own buffer
      for (const byte of new Uint8Array(Float32Array.from(numbers).buffer)) take(byte);
    }
  }
  return [high, low].map(half => (half >>> 0).toString(16).padStart(8, '0')).join('');
}
