import type {AttentionCache} from '../../../cache/attention_cache.js';
import * as tf from '@tensorflow/tfjs';
import type {CallArgs} from '../../../layers/layer_args.js';
import {EigenkvError, ModelError} from '../../../base/errors.js';
import {type LayerCall, replaceCall} from '../../adapters/index.js';
import {type Finding, differences, largestOf, tokensOf} from './finding.js';

/** Share of a layer's largest output that its two halves may differ from the whole by. */
const tolerance = 1e-4;

/**
 * Watches the layers beside attention while a model runs over a text: each is given the two halves of its input by themselves as
 * well, as behind a cache, and must give the same. What mixes tokens (convolutions, pooling, shifts, recurrence) does not.
 *
 * @param findings where it is put down; its numbers are kept beyond any tidy.
 */
export function probeLayers(
  layers: readonly tf.layers.Layer[],
  tokens: number,
  run: () => void,
  findings: Finding[],
): void {
  const undos = layers.map(layer =>
    replaceCall(layer, original => (inputs, kwargs) => {
      const output = original(inputs, kwargs);
      const finding = comparedHalves(layer, original, {inputs, kwargs, output, tokens});
      if (finding !== undefined) findings.push({...finding, numbers: tf.keep(finding.numbers)}); // beyond the model's own tidy
      return output;
    }),
  );
  try {
    run();
  } finally {
    undos.reverse().forEach(undo => undo());
  }
}

interface Seen {
  readonly inputs: tf.Tensor | tf.Tensor[];
  readonly kwargs: CallArgs;
  readonly output: tf.Tensor | tf.Tensor[];
  readonly tokens: number;
}

/** Nothing where a layer has no tokens as its second axis before and behind it: what the model makes of it shows. */
function comparedHalves(
  layer: tf.layers.Layer,
  original: LayerCall,
  {inputs, kwargs, output, tokens}: Seen,
): Finding | undefined {
  const given = Array.isArray(inputs) ? inputs : [inputs];
  const hasTokens = (x: tf.Tensor) => x.rank >= 2 && x.shape[1] === tokens;
  if (tokens < 2 || Array.isArray(output) || !hasTokens(output) || !given.some(hasTokens)) return undefined;
  const half = Math.ceil(tokens / 2);
  const parts = [
    {from: 0, count: half},
    {from: half, count: tokens - half},
  ].map(({from, count}) => {
    const part = given.map(x => (hasTokens(x) ? tokensOf(x, from, count) : x));
    return tryCall(original, part, {...kwargs, cache: behind(from)});
  });
  if (!parts.every((part): part is tf.Tensor => part instanceof tf.Tensor)) return undefined;
  const joins = parts.every(
    ({shape}) =>
      shape.length === output.rank && shape.every((size, i) => i === 1 || size === output.shape[i]),
  );
  const joined = joins ? tf.concat(parts, 1) : undefined;
  return {
    numbers:
      joined?.shape[1] === tokens
        ? tf.concat([tf.reshape(tf.max(differences(output, joined)), [1]), largestOf(output)])
        : tf.tensor1d([Infinity, 0]),
    judge([difference = NaN, largest = NaN]) {
      if (difference <= tolerance * largest) return;
      if (Number.isNaN(difference)) {
        throw new ModelError(
          `Layer "${layer.name}" (${layer.getClassName()}) gives numbers that are not finite; its weights are damaged.`,
        );
      }
      throw new ModelError(
        `With a cache the model would predict otherwise than without: layer "${layer.name}" (${layer.getClassName()}) gives other ` +
          'numbers for tokens when those before or behind them are not given with them. It computes from positions and no position ' +
          'adapter is there for its class (registerPositionAdapter), it mixes tokens (convolution, pooling, a shift, recurrence), or it ' +
          'draws at random: docs/guides/adapters.md.',
      );
    },
  };
}

/** What a layer that does not take fewer tokens says is said again where the model is run in steps. */
function tryCall(original: LayerCall, inputs: tf.Tensor[], kwargs: CallArgs) {
  try {
    return original(inputs, kwargs);
  } catch (error) {
    if (error instanceof EigenkvError) throw error;
    return undefined;
  }
}

/** What a layer that is no attention may ask of a cache. */
const behind = (tokens: number): AttentionCache => ({
  tokens,
  attend() {
    throw new ModelError('A layer attends that is no attention layer; register an adapter for it.');
  },
});
