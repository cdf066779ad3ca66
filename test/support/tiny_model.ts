import * as tf from '@tensorflow/tfjs';
import {
  attention,
  feedForward,
  outputHead,
  rmsNormalization,
  tokenEmbedding,
  tokenSelection,
} from '../../layers/index.js';
import type {Tokenizer} from '../../models/tokenizer/index.js';
import {randomFloats} from './random.js';

/** Two special tokens and every printable ASCII character. */
const characters = Array.from({length: 95}, (_, i) => String.fromCharCode(32 + i));
const tokens = ['<s>', '</s>', ...characters];

/** One token per character. `<s>` (0) begins a text, `</s>` (1) ends it. */
export const characterTokenizer: Tokenizer = {
  vocabSize: tokens.length,
  bosId: 0,
  eosIds: [1],
  encode: (text, {addSpecial = true} = {}) => [
    ...(addSpecial ? [0] : []),
    ...Array.from(text, character => tokens.indexOf(character)),
  ],
  decode: (ids, {skipSpecial = true} = {}) =>
    Array.from(ids, id => (skipSpecial && id < 2 ? '' : tokens[id]!)).join(''),
  token: id => tokens[id]!,
};

/** A Transformer with two depths, a model dim of 32, the character tokenizer's vocabulary and random weights; maybe with windows by depth. */
export function tinyModel(seed = 1, windows: readonly number[] = []): tf.LayersModel {
  const ids = tf.input({shape: [null], dtype: 'int32'});
  let x = tokenEmbedding({vocabSize: tokens.length, dim: 32}).apply(ids) as tf.SymbolicTensor;
  const add = (branch: tf.layers.Layer[]) => {
    const added = branch.reduce((inner, layer) => layer.apply(inner) as tf.SymbolicTensor, x);
    x = tf.layers.add().apply([x, added]) as tf.SymbolicTensor;
  };
  for (const depth of [0, 1]) {
    add([
      rmsNormalization(),
      attention({
        numHeads: 4,
        numKvHeads: 2,
        headDim: 8,
        depth,
        rope: {theta: 10_000},
        window: windows[depth],
      }),
    ]);
    add([rmsNormalization(), feedForward({hiddenDim: 48})]);
  }
  for (const layer of [tokenSelection(), rmsNormalization(), outputHead({vocabSize: tokens.length})]) {
    x = layer.apply(x) as tf.SymbolicTensor;
  }
  const model = tf.model({inputs: ids, outputs: x});
  tf.tidy(() =>
    model.setWeights(
      model.getWeights().map(({shape, size}, i) => {
        const spread = shape.length === 1 ? 0.1 : 1.2 / Math.sqrt(shape[0]);
        return tf.tensor(randomFloats(seed * 1000 + i, size, spread), shape);
      }),
    ),
  );
  return model;
}
