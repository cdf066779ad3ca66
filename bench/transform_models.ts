/**
 * `transform` on several models, each calibrated first:
 *
 *     npx tsx bench/transform_models.ts CASES.json [--record]
 *
 * CASES.json is a list of `{"name", "model", "calibration": [texts], "texts": [texts]}`: names of files, without a model the embedded one
 * with its own profile. Texts are measured over their first 2,048 tokens, in windows of the model's context. Plans of `transform` have the
 * sizes below with all bytes of the first window counted, and integer codes stand beside. Prints a line per plan; `--record` appends the run
 * to bench/history/transform_models.jsonl.
 */
import {readFile} from 'node:fs/promises';
import {basename} from 'node:path';
import {parseArgs} from 'node:util';
import {transform} from '../cache/index.js';
import type {TransformProfile} from '../cache/codecs/transform_profile/index.js';
import {type LoadedModel, calibrate, loadModel, profileFor, transformProfile} from '../models/index.js';
import {contextLengthOf} from '../models/model_like.js';
import {type EvaluationRow, evaluate} from '../src/evaluate/index.js';
import {bitsOfSize, fewestBits, stepsOf} from './support/bits_of_size.js';
import {type Figure, record} from './support/history.js';

interface Case {
  readonly name: string;
  readonly model?: string;
  /** Half of `calibrationTokens` from each of two, and so on. Not needed for a model with a packaged profile. */
  readonly calibration?: readonly string[];
  readonly texts: readonly string[];
}

const sizes = [0.145, 0.115, 0.085];
const integers = [4, 2] as const;
const tokens = 2048;
const calibrationTokens = 8192;

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {record: {type: 'boolean', default: false}},
});
const cases = JSON.parse(await readFile(positionals[0] ?? '', 'utf8')) as Case[];
const figures: Figure[] = [];
for (const {name, model, calibration = [], texts} of cases) {
  using loaded = await loadModel(model);
  const profile = (await profileFor(loaded)) ?? (await calibrated(loaded, calibration));
  for (const path of texts) {
    const text = await readFile(path, 'utf8');
    for (const row of await measured(loaded, profile, text)) {
      const figure = {model: name, text: basename(path), ...row};
      figures.push(figure);
      console.log(Object.values(figure).join('  '));
    }
  }
}
const subject = `2,048 tokens of each text, 64 tokens per step, in windows of the model's context`;
if (values.record) await record({what: 'transform_models', subject, figures});

async function calibrated(loaded: LoadedModel, paths: readonly string[]): Promise<TransformProfile> {
  const texts = await Promise.all(paths.map(path => readFile(path, 'utf8')));
  const options = {tokens: calibrationTokens, gradientTokens: calibrationTokens};
  return transformProfile(await calibrate(loaded, texts, options));
}

async function measured(loaded: LoadedModel, profile: TransformProfile, text: string): Promise<Figure[]> {
  const window = Math.min(contextLengthOf(loaded), tokens);
  const steps = stepsOf(window, 64, 20); // as evaluate takes the first window
  const plans = sizes
    .map(share => ({share, bits: bitsOfSize(loaded, profile, {steps, share})}))
    .filter(({bits}) => bits >= fewestBits);
  const evaluation = await evaluate(loaded, text, {
    tokens,
    plans: [
      ...integers.map(bits => `quantized:bits=${bits},groupSize=32`),
      ...plans.map(({bits}) => transform({bits: Number(bits.toFixed(3)), profile})),
    ],
  });
  const [full, ...rows] = evaluation.rows;
  const labels = [...integers.map(bits => `${bits} bits`), ...plans.map(({share}) => String(share))];
  return rows.map((row, i) => ({...figureOf(row, full!), window, size: labels[i]!}));
}

function figureOf(row: EvaluationRow, full: EvaluationRow): Figure {
  const {klDivergence, top1Agreement, perplexity, ratioToFloat32} = row;
  const change = perplexity / full.perplexity - 1;
  const of = {klDivergence, top1Agreement, perplexity, change, ratioToFloat32};
  return Object.fromEntries(Object.entries(of).map(([key, value]) => [key, Number(value.toPrecision(6))]));
}
