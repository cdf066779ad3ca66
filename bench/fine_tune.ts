/**
 * What fine-tuning brings back: `npx tsx bench/fine_tune.ts CALIBRATION [--method M] [--ratio 0.25] [--rates 7e-5,3e-5] [--window 128]`.
 *
 * The embedded model is compressed, then trained to give the dense model's probabilities on the sample of its training text;
 * one epoch for each learning rate; at the ends of epochs held-out text goes through it, latents as float32 and in codes. Prints Markdown.
 */
import * as tf from '@tensorflow/tfjs';
import {parseArgs} from 'node:util';
import {full, quantized} from '../cache/index.js';
import {basisMethods, compress, embeddedText, fineTune, loadCalibration, loadModel} from '../models/index.js';
import {evaluate} from '../src/evaluate/index.js';

/** Of every token but those that wait for a group of 32: 4 bits; and fewer for values, whose latents are of different sizes, so by channel. */
const codes = [
  quantized({bits: 4, groupSize: 32, residual: 0}),
  quantized({keyBits: 4, valueBits: 2, valueAxis: 'channel', groupSize: 32, residual: 0}),
];

async function main(args: string[]) {
  const {values, positionals} = parseArgs({
    args,
    allowPositionals: true,
    options: {
      method: {type: 'string', default: 'fisher'},
      ratio: {type: 'string', default: '0.25'},
      rates: {type: 'string', default: '7e-5,3e-5'},
      window: {type: 'string', default: '128'},
      tokens: {type: 'string', default: '2048'},
    },
  });
  const loaded = await loadModel();
  const calibration = await loadCalibration(positionals[0] ?? '');
  const idsOf = async (text: 'heldOut' | 'trainSample') =>
    loaded.tokenizer.encode(await embeddedText(text), {parseSpecial: false});
  const [heldOut, train] = [await idsOf('heldOut'), await idsOf('trainSample')];
  const method = basisMethods.find(name => name === values.method);
  const compressed = await compress(loaded, calibration, {
    method,
    ratio: Number(values.ratio),
    text: train,
    tokens: 128,
  });
  const {model} = compressed;
  console.log(
    `| epoch | training KL | latents | perplexity | KL (nats) | bytes / float32 |\n|${'---|'.repeat(6)}`,
  );
  const report = async (epoch: number, loss: number | undefined) => {
    const {
      rows: [dense, ...rows],
    } = await evaluate(loaded, heldOut, {
      tokens: Number(values.tokens),
      compared: [{name: 'tuned', model, plans: [full(), ...codes]}],
    });
    for (const {plan, perplexity, klDivergence, ratioToFloat32} of rows) {
      const change = 100 * (perplexity / dense!.perplexity - 1);
      console.log(
        `| ${epoch} | ${loss?.toPrecision(3) ?? ''} | ${plan.slice('tuned, '.length)} | ` +
          `${change >= 0 ? '+' : ''}${change.toFixed(2)} % | ${klDivergence.toPrecision(3)} | ${ratioToFloat32.toFixed(3)} |`,
      );
    }
  };
  await report(0, undefined);
  for (const [index, rate] of values.rates.split(',').entries()) {
    await fineTune(compressed, train, {
      teacher: loaded,
      learningRate: Number(rate),
      window: Number(values.window),
      callbacks: [new EpochEnds((epoch, loss) => report(index + epoch + 1, loss))],
    });
  }
  compressed.dispose();
  loaded.dispose();
}

/** Tells of the ends of epochs. */
class EpochEnds extends tf.Callback {
  constructor(private readonly tell: (epoch: number, loss: number | undefined) => Promise<void>) {
    super();
  }

  override onEpochEnd(epoch: number, logs?: tf.Logs): Promise<void> {
    return this.tell(epoch, logs?.['loss']);
  }
}

await main(process.argv.slice(2));
