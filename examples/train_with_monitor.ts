/**
 * Trains a small GPT on text, and looks at the end of every other epoch what plans cost the model as it is then: does a model
 * that has learnt more bear less compression? A minute or so on wasm, nothing to download:
 *
 *     npm run example:training                            # or: npx tsx examples/train_with_monitor.ts [epochs [folder]]
 *
 * Writes training.json, perplexity.svg and divergence.svg into reports/training.
 */
import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {lineChartSvg} from '../src/report/charts.js';
import {feedForward, outputHead, rmsNormalization, tokenEmbedding} from '../layers/index.js';
import {
  type EpochRow,
  attention,
  embeddedText,
  epochCallback,
  quantized,
  sliding,
  useBackend,
} from '../src/index.js';

/** Texts of `window` characters, one token per character: printable ASCII, and one token for everything else. */
const [window, texts, vocabSize] = [96, 320, 96];
const encode = (text: string) =>
  Array.from(text, character => {
    const code = character.charCodeAt(0) - 32;
    return code >= 0 && code < 95 ? code : 95;
  });

/** Three blocks of attention with rotary positions and a gated feed-forward part, 64 numbers wide. */
function gpt(): tf.LayersModel {
  const ids = tf.input({shape: [null], dtype: 'int32'});
  let x = tokenEmbedding({vocabSize, dim: 64}).apply(ids) as tf.SymbolicTensor;
  const add = (...branch: tf.layers.Layer[]) => {
    const end = branch.reduce((inner, layer) => layer.apply(inner) as tf.SymbolicTensor, x);
    x = tf.layers.add().apply([x, end]) as tf.SymbolicTensor;
  };
  for (const depth of [0, 1, 2]) {
    add(rmsNormalization(), attention({numHeads: 2, depth, rope: {theta: 10_000}}));
    add(rmsNormalization(), feedForward({hiddenDim: 160}));
  }
  const logits = outputHead({vocabSize}).apply(rmsNormalization().apply(x));
  return tf.model({inputs: ids, outputs: logits as tf.SymbolicTensor});
}

/** Next-character prediction. (`sparseCategoricalCrossentropy` of tfjs needs kernels that wasm lacks.) */
const crossEntropy = (labels: tf.Tensor, logits: tf.Tensor) => tf.losses.softmaxCrossEntropy(labels, logits);

/** Windows spread over the text, and the character that follows each of their characters. */
function windows(ids: readonly number[]): {x: tf.Tensor2D; y: tf.Tensor} {
  const stride = Math.floor((ids.length - window - 1) / texts);
  const shifted = (by: number) => {
    const rows = Array.from({length: texts}, (_, i) => ids.slice(i * stride + by, i * stride + by + window));
    return tf.tensor2d(rows, [texts, window], 'int32');
  };
  return {x: shifted(0), y: tf.tidy(() => tf.oneHot(shifted(1), vocabSize))};
}

const [epochs, folder] = [Number(process.argv[2] ?? 16), process.argv[3] ?? 'reports/training'];
await useBackend('wasm');
const [train, heldOut] = await Promise.all([embeddedText('trainSample'), embeddedText('heldOut')]);
const model = gpt();
model.compile({optimizer: tf.train.adam(3e-3), loss: crossEntropy});

const fine = {groupSize: 16, residual: 0};
const plans = [
  quantized({bits: 4, ...fine}),
  quantized({keyBits: 4, valueBits: 2, ...fine}),
  quantized({keyBits: 2, valueBits: 4, ...fine}),
  quantized({bits: 2, ...fine}),
  sliding({window: 28, sinks: 4}),
];
const started = performance.now();
const text = encode(heldOut.slice(2000, 2000 + 4 * window));
const evaluation = epochCallback({model, contextLength: window}, text, {
  plans,
  chunk: 16,
  every: 2,
  onRows(rows) {
    const [full] = rows;
    const seconds = Math.round((performance.now() - started) / 1000);
    console.log(
      `epoch ${full!.epoch + 1}, ${seconds} s: loss ${full!.loss!.toFixed(3)}, held out ${full!.perplexity.toFixed(2)}`,
    );
    for (const {plan, perplexity, klDivergence, ratioToFloat32} of rows.slice(1)) {
      const rise = 100 * (perplexity / full!.perplexity - 1);
      console.log(
        `    ${plan}: ${rise.toFixed(2)} % worse, KL ${klDivergence.toPrecision(2)}, ${ratioToFloat32.toFixed(3)} of float32`,
      );
    }
  },
});
const {x, y} = windows(encode(train));
await model.fit(x, y, {epochs, batchSize: 16, callbacks: [evaluation], yieldEvery: 'never'});

const {rows} = evaluation;
const curve = (y: (row: EpochRow) => number) =>
  rows.map(row => ({series: row.plan, x: row.epoch + 1, y: y(row)}));
const subtitle = `a GPT of ${model.countParams()} parameters, ${texts * window} characters an epoch; on held-out text`;
const epochAxis = {title: 'epoch', whole: true};
await mkdir(folder, {recursive: true});
await writeFile(join(folder, 'training.json'), JSON.stringify(rows, undefined, 2));
const charts = {
  'perplexity.svg': await lineChartSvg({
    ...{title: 'Perplexity of characters by epoch', subtitle, x: epochAxis},
    y: {title: 'perplexity', zero: false},
    points: curve(({perplexity}) => perplexity),
  }),
  'divergence.svg': await lineChartSvg({
    ...{title: 'What each plan costs the model, by epoch', subtitle, x: epochAxis},
    y: {title: 'KL from the full cache, nats'},
    points: curve(({klDivergence}) => klDivergence).filter(({series}) => series !== 'full'),
  }),
};
for (const [name, svg] of Object.entries(charts)) {
  await writeFile(join(folder, name), svg);
  console.log(`Wrote ${join(folder, name)}`);
}
console.log(`${Math.round((performance.now() - started) / 1000)} s in all.`);
tf.dispose([x, y]);
model.dispose();
