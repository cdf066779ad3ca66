import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import {atLeast, checkOptions, positiveNumber} from '../../base/options.js';
import {EigenAttention} from '../../layers/index.js';
import {formatOf} from '../../ops/weights/packed_variables.js';
import {placedLayers} from '../adapters/index.js';
import {type ModelLike, type TextLike, contextLengthOf, idsOfTexts, modelOf} from '../model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../progress.js';
import {piecesOf} from './pieces.js';

export interface FineTuneOptions extends ProgressOptions {
  /** Passes over the texts. Default 1. */
  readonly epochs?: number;
  /** At most this many tokens of all texts together, the first ones. Default: all. */
  readonly tokens?: number;
  /** Tokens per step of the optimizer; at most the model's context. What is left of a text after its last window is not used. Default 128. */
  readonly window?: number;
  /** Learning rate of Adam. Default 5e-5: on the bundled model, with windows of 128 tokens, 2e-4 recovers less. */
  readonly learningRate?: number;
  /**
   * The model before its compression: the loss is then KL(teacher || model) of the next tokens' probabilities (Hinton et al., 2015,
   * arXiv 1503.02531), which measures what compression lost. Default: none; the loss is the negative log-likelihood of the texts.
   */
  readonly teacher?: ModelLike;
  /** Called at the ends of epochs as `model.fit` does, `epochCallback` for one. Default: none. */
  readonly callbacks?: readonly tf.Callback[];
}

const schema = v.strictObject({
  epochs: v.optional(atLeast(1), 1),
  tokens: v.optional(atLeast(1), Number.MAX_SAFE_INTEGER),
  window: v.optional(atLeast(2), 128),
  learningRate: v.optional(positiveNumber, 5e-5),
  teacher: v.optional(v.custom<ModelLike>(() => true)), // modelOf judges it
  callbacks: v.optional(
    v.array(
      v.custom<tf.Callback>(given => given instanceof tf.Callback, 'expected a tf.Callback'),
      'expected a list of callbacks',
    ),
    [],
  ),
  ...progressEntries,
});

/**
 * Recovers what compression lost: trains the weights of the compressed attention layers, and no others, on texts in their order.
 * Ranks and sizes stay as they are. Progress counts steps.
 *
 * @param model a compressed model.
 * @param texts one text or several, or their ids; at least one window in all.
 * @returns the mean loss of each epoch, in nats per token.
 * @throws InvalidArgumentError if the model has no compressed attention, its compressed attention has packed weights, or the texts
 *   have no full window; ModelError if the loss is not finite (the weights are spoiled then; lower the learning rate); the signal's
 *   reason.
 */
export async function fineTune(
  model: ModelLike,
  texts: TextLike | readonly TextLike[],
  options: FineTuneOptions = {},
): Promise<number[]> {
  const {
    epochs,
    tokens,
    window: wanted,
    learningRate,
    teacher,
    callbacks,
    ...progress
  } = checkOptions('fineTune', schema, options);
  const [student, other] = [modelOf(model), teacher === undefined ? undefined : modelOf(teacher)];
  const window = Math.min(wanted, contextLengthOf(model));
  const variables = trainedVariables(student);
  const ids = idsOfTexts(model, texts);
  const pieces = piecesOf(ids, {tokens, window, whole: true});
  if (pieces.length === 0) {
    const longest = Math.max(...ids.map(({length}) => length));
    throw new InvalidArgumentError(
      `The longest text has ${longest} tokens, fewer than a window of ${window}; give more, or a smaller window.`,
    );
  }
  for (const callback of callbacks) {
    callback.setParams({epochs});
    callback.setModel(student);
  }
  const stepped = countProgress(epochs * pieces.length, progress);
  const optimizer = tf.train.adam(learningRate);
  const losses: number[] = [];
  try {
    for (let epoch = 0; epoch < epochs; epoch++) {
      let sum = 0;
      for (const piece of pieces) {
        sum += await step(student, other, piece, optimizer, variables);
        await stepped(1);
      }
      const loss = sum / pieces.length;
      losses.push(loss);
      for (const callback of callbacks) await callback.onEpochEnd(epoch, {loss});
    }
    return losses;
  } finally {
    optimizer.dispose();
  }
}

async function step(
  model: tf.LayersModel,
  teacher: tf.LayersModel | undefined,
  piece: readonly number[],
  optimizer: tf.Optimizer,
  variables: tf.Variable[],
): Promise<number> {
  const cost = tf.tidy(() => {
    const input = tf.tensor2d([...piece], [1, piece.length], 'int32');
    const targets = teacher === undefined ? undefined : tf.softmax(teacher.apply(input) as tf.Tensor);
    return optimizer.minimize(
      () => {
        const logits = model.apply(input) as tf.Tensor3D;
        return targets === undefined ? textLoss(logits, piece) : divergence(targets, logits);
      },
      true,
      variables,
    )!;
  });
  const [loss = NaN] = await cost.data<'float32'>();
  cost.dispose();
  if (Number.isFinite(loss)) return loss;
  throw new ModelError(
    `The loss is ${loss}, so the weights are spoiled. Compress again, and use a lower learningRate.`,
  );
}

/** The mean of -ln p of each token given those before it. */
function textLoss(logits: tf.Tensor3D, piece: readonly number[]): tf.Scalar {
  const [, tokens, vocabSize] = logits.shape;
  const predicted = tf.reshape(tf.slice(logits, [0, 0, 0], [1, tokens - 1, vocabSize]), [
    tokens - 1,
    vocabSize,
  ]);
  const next = tf.oneHot(tf.tensor1d(piece.slice(1), 'int32'), vocabSize);
  return tf.losses.softmaxCrossEntropy(next, predicted);
}

/** The mean over tokens of KL(targets || softmax(logits)). */
function divergence(targets: tf.Tensor, logits: tf.Tensor3D): tf.Scalar {
  const known = tf.log(tf.maximum(targets, 1e-20));
  return tf.mean<tf.Scalar>(tf.sum(tf.mul(targets, tf.sub(known, tf.logSoftmax(logits))), -1));
}

/** The variables of the compressed layers, as an optimizer takes them: a tfjs layer hides them, the engine lists them. */
function trainedVariables(model: tf.LayersModel): tf.Variable[] {
  const compressed = placedLayers(model).filter(
    ({layer}) => layer.getClassName() === EigenAttention.className,
  );
  compressed.forEach(({layer}) => refusePacked(layer));
  const weights = compressed.flatMap(({layer}) => layer.weights);
  if (weights.length === 0) {
    throw new InvalidArgumentError('This model has no compressed attention to train; compress it first.');
  }
  const ids = new Set(weights.map(weight => weight.read().id));
  return Object.values(tf.engine().registeredVariables).filter(({id}) => ids.has(id));
}

function refusePacked({name, weights}: tf.layers.Layer): void {
  const packed = weights.filter(variable => formatOf(variable) !== 'float32');
  if (packed.length === 0) return;
  const list = packed.map(variable => `${variable.originalName} (${formatOf(variable)})`).join(', ');
  throw new InvalidArgumentError(
    `Layer "${name}" has packed weights, which cannot be trained: ${list}. Load the model with {weights: 'float32'}, or compress a ` +
      'model again: compressed layers are float32 then, and the others may be packed.',
  );
}
