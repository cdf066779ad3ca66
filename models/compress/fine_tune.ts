import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast, checkOptions, positiveNumber} from '../../base/options.js';
import {EigenAttention} from '../../layers/index.js';
import {InvalidArgumentError, ModelError} from '../../base/errors.js';
import {waitingEvents} from '../generate/event_loop.js';
import {checkIds} from '../token_ids.js';

export interface FineTuneOptions {
  /** Default 1. */
  readonly epochs?: number;
  /** Tokens of a piece of the text; each is a step of the optimizer. Default 128. */
  readonly window?: number;
  /**
   * Of Adam. Default 5e-5: on the embedded model, with windows of 128 tokens, 2e-4 recovers less.
   */
  readonly learningRate?: number;
  /**
   * The model that was compressed: the loss is then KL(teacher || model) of the next tokens' probabilities (Hinton et al., 2015,
   * arXiv 1503.02531), what compression is measured by. Default: none; the loss is the likelihood of the text.
   */
  readonly teacher?: tf.LayersModel;
  /** As `model.fit` calls them at the end of epochs: `epochCallback` of eigenkv/evaluate, for one. */
  readonly callbacks?: readonly tf.Callback[];
  /** Steps done, of all. */
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
  readonly signal?: AbortSignal;
}

const schema = v.strictObject({
  epochs: v.optional(atLeast(1), 1),
  window: v.optional(atLeast(2), 128),
  learningRate: v.optional(positiveNumber, 5e-5),
});

/**
 * Recovers what compression lost: trains the low-rank factors (all weights of the compressed attention layers, and nothing
 * else) on a text, in its order, for a short time. Ranks and sizes stay as they are.
 *
 * @param ids of the text; at least one window.
 * @returns the mean loss of each epoch, nats a token.
 * @throws InvalidArgumentError where there is nothing to train or to train on; ModelError where the loss becomes NaN (the weights
 *   are spoiled then; a lower learning rate helps); the signal's reason.
 */
export async function fineTune(
  model: tf.LayersModel,
  ids: readonly number[],
  {teacher, callbacks = [], onProgress, signal, ...numbers}: FineTuneOptions = {},
): Promise<number[]> {
  const {epochs, window, learningRate} = checkOptions('fineTune', schema, numbers);
  checkIds(ids, model);
  const variables = trainedVariables(model);
  const windows = Math.floor(ids.length / window);
  if (windows === 0) {
    throw new InvalidArgumentError(
      `The text has ${ids.length} tokens, fewer than a window of ${window}; give more, or a smaller window.`,
    );
  }
  for (const callback of callbacks) {
    callback.setParams({epochs});
    callback.setModel(model);
  }
  const optimizer = tf.train.adam(learningRate);
  const losses: number[] = [];
  try {
    for (let epoch = 0; epoch < epochs; epoch++) {
      let sum = 0;
      for (let index = 0; index < windows; index++) {
        sum += await step(
          model,
          teacher,
          ids.slice(index * window, (index + 1) * window),
          optimizer,
          variables,
        );
        onProgress?.({done: epoch * windows + index + 1, total: epochs * windows});
        await waitingEvents();
        signal?.throwIfAborted();
      }
      losses.push(sum / windows);
      for (const callback of callbacks) await callback.onEpochEnd(epoch, {loss: sum / windows});
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
    `The loss is ${loss}: the weights are spoiled. Compress again, and use a lower learningRate.`,
  );
}

/** -ln p of every token given those before it, mean. */
function textLoss(logits: tf.Tensor3D, piece: readonly number[]): tf.Scalar {
  const [, tokens, vocabSize] = logits.shape;
  const predicted = tf.reshape(tf.slice(logits, [0, 0, 0], [1, tokens - 1, vocabSize]), [
    tokens - 1,
    vocabSize,
  ]);
  const next = tf.oneHot(tf.tensor1d(piece.slice(1), 'int32'), vocabSize);
  return tf.losses.softmaxCrossEntropy(next, predicted);
}

/** KL(targets || softmax(logits)), mean over the tokens. */
function divergence(targets: tf.Tensor, logits: tf.Tensor3D): tf.Scalar {
  const known = tf.log(tf.maximum(targets, 1e-20));
  return tf.mean<tf.Scalar>(tf.sum(tf.mul(targets, tf.sub(known, tf.logSoftmax(logits))), -1));
}

/** The variables of the compressed layers, as an optimizer takes them: tfjs hides those of a layer, the engine knows them. */
function trainedVariables(model: tf.LayersModel): tf.Variable[] {
  const layers = model.layers.filter(layer => layer.getClassName() === EigenAttention.className);
  if (layers.length === 0) {
    throw new InvalidArgumentError('This model has no compressed attention to train; compress it first.');
  }
  const ids = new Set(layers.flatMap(({weights}) => weights.map(weight => weight.read().id)));
  return Object.values(tf.engine().registeredVariables).filter(({id}) => ids.has(id));
}
