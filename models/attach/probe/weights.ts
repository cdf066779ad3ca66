import * as tf from '@tensorflow/tfjs';
import type {LayersModel} from '@tensorflow/tfjs';

type Variable = LayersModel['weights'][number];

/**
 * The weights of a model that are the same number throughout: what nobody trained yet (embeddings of zeros, gates at 0, scales of
 * norms). Where they are zeros, what lies behind them shows in no output, whatever it computes. Biases hide nothing, but those of
 * attention, which may be biases of scores.
 */
export async function constantWeights(
  model: LayersModel,
  attentions: readonly {readonly layer: tf.layers.Layer}[],
): Promise<Variable[]> {
  const ofAttention = new Set(attentions.flatMap(({layer}) => layer.weights));
  const hiding = model.weights.filter(
    variable => ofAttention.has(variable) || !/(bias|beta)$/.test(variable.originalName),
  );
  const floats = [...new Set(hiding)].filter(
    ({dtype, shape, constraint}) =>
      dtype === 'float32' && !shape.includes(0) && (constraint as unknown) == null, // written back, it would be constrained
  );
  if (floats.length === 0) return [];
  const extremes = tf.tidy(() => {
    const each = floats.map(variable => variable.read());
    return tf.stack(each.flatMap(weight => [tf.min(weight), tf.max(weight)]));
  });
  const numbers = await extremes.data<'float32'>();
  extremes.dispose();
  return floats.filter(({shape}, i) => {
    const [least, most] = [numbers[2 * i], numbers[2 * i + 1]];
    return least === most && (most === 0 || shape.some(size => size !== 1));
  });
}

/**
 * Runs something while constant weights vary a little, and puts them back: the same tensors as before, nothing of which is
 * copied. Nobody else can see it, since all of it happens at once.
 */
export function withVariedWeights<Result>(constant: readonly Variable[], run: () => Result): Result {
  const former = constant.map(variable => variable.read().clone());
  try {
    tf.tidy(() => constant.forEach((variable, i) => variable.write(varied(former[i]!, i))));
    return run();
  } finally {
    constant.forEach((variable, i) => variable.write(former[i]!));
    tf.dispose(former);
  }
}

/** Matrices keep the size of what goes through them; scales, biases and variances stay above what they are. */
function varied(weight: tf.Tensor, seed: number): tf.Tensor {
  const {shape, size, rank} = weight;
  const noise =
    rank < 2
      ? tf.randomUniform(shape, 0, 0.2, 'float32', seed + 1)
      : tf.randomNormal(shape, 0, Math.sqrt(shape.at(-1)! / size), 'float32', seed + 1);
  return tf.add(weight, noise);
}
