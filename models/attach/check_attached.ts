import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {AttachedLayers} from './attach_layers.js';
import {probeAttention} from './probe/attention.js';
import {type Finding, judgeAll} from './probe/finding.js';
import {probeLayers} from './probe/layers.js';
import {outputOf, probeModel, probedModel, randomText} from './probe/model.js';
import {constantWeights, withVariedWeights} from './probe/weights.js';
import {namedWindow} from './settings.js';

/** Tokens of the whole model's probe: at least 64, and a number that no axis of a model is likely to have. */
const modelTokens = 67;

/** The most tokens of the whole model's probe, however far a layer looks. */
const mostModelTokens = 512;

/**
 * Compares a model with and without a cache, as it stands: its attention layers one by one with what their adapters say, the other
 * layers with themselves over fewer tokens, and the model as a whole. Weights that are all one number vary meanwhile.
 *
 * @param tokens how far attention is compared.
 * @throws ModelError if something differs; it names the layer and the first token.
 */
export async function checkAttached(
  model: tf.LayersModel,
  {others, attentions, context, input}: AttachedLayers,
  tokens: number,
): Promise<void> {
  if (model.outputs.length !== 1) {
    throw new InvalidArgumentError(
      `The model has ${model.inputs.length} inputs and ${model.outputs.length} outputs; tokens are compared with and without a cache where ` +
        'it has one output. Pass {check: false} and compare yourself.',
    );
  }
  const most = Math.min(model.inputs[input]!.shape[1] ?? Infinity, context.tokens);
  const reach = Math.min(mostModelTokens, Math.max(...others.map(namedWindow), 0) + 3);
  const length = Math.min(most, Math.max(modelTokens, reach));
  const constant = await constantWeights(model, attentions);
  const findings: Finding[] = [];
  try {
    withVariedWeights(constant, () =>
      tf.tidy(() => {
        findings.push(...attentions.flatMap(attached => probeAttention(attached, most, tokens)));
        const probed = probedModel(model, input);
        const x = randomText(model, length, input);
        let whole = x;
        const run = () => {
          whole = outputOf(probed, x);
        };
        probeLayers(others, length, run, findings);
        findings.push(...probeModel(probed, x, whole));
        return findings.map(({numbers}) => numbers);
      }),
    );
  } catch (error) {
    tf.dispose(findings.map(({numbers}) => numbers));
    throw error;
  }
  await judgeAll(findings);
}
