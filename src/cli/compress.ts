import {count, counted, percent} from '../../base/units.js';
import {embeddedName} from '../../models/embedded_model.js';
import {
  type CompressedModel,
  basisMethods,
  compress,
  embeddedText,
  loadCalibration,
  saveModel,
} from '../../models/index.js';
import {compressionColumnNames, compressionTable} from '../report/compression_table.js';
import {
  type Argument,
  choice,
  columns,
  flag,
  positiveNumber,
  required,
  share,
  text,
  withDefault,
} from './support/arguments.js';
import {command} from './support/command.js';
import {readText} from './support/files.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {planArg, readPlan} from './support/plans.js';
import {print, printJson, printNote, printProse, printWritten} from './support/print.js';
import {withBar} from './support/progress.js';
import {UsageError} from './support/usage_error.js';

/** Tokens on which errors are measured: a few seconds per depth for a model of 135M parameters. */
const sampleTokens = 256;

export const compressCommand = command({
  name: 'compress',
  description:
    'Merge low-rank bases into the attention of a model, chosen from a calibration by "eigenkv calibrate"',
  args: {
    ...modelArgs,
    calibration: required(text('The file that "eigenkv calibrate --out FILE.safetensors" wrote', 'FILE')),
    method: withDefault(choice('How bases are chosen', basisMethods), 'kqSvd'),
    keyMethod: choice('Another method for keys', basisMethods),
    valueMethod: choice('Another method for values', basisMethods),
    ratio: share('Fraction of the numbers per token to keep, above 0, at most 1. Default: 0.5'),
    ranks: ranks('Ranks of keys and values instead of a ratio: 32,48'),
    errorBudget: positiveNumber(
      "The largest relative error of each depth's attention output instead of a ratio, as 0.025",
    ),
    spread: withDefault(
      choice('How ranks are distributed over depths', ['waterFilled', 'uniform']),
      'waterFilled',
    ),
    ropeMode: withDefault(
      choice('Compress keys before or after their rotation', ['before', 'after']),
      'before',
    ),
    distances: withDefault(
      choice('How the weight of earlier tokens depends on their distance', ['falling', 'uniform']),
      'falling',
    ),
    center: flag('Subtract the means of keys and values'),
    text: text(
      `Measure errors on the first ${sampleTokens} tokens of this text. Default: a sample that comes with eigenkv`,
      'FILE',
    ),
    plan: planArg('Plan that the layers ask for in a cache without one, full by default'),
    dtype: choice('Number format in the file. Default: as in memory, packed weights for eigenkv only', [
      'F32',
      'F16',
    ]),
    out: required(text('Write the model into this folder', 'FOLDER')),
    columns: columns(compressionColumnNames),
  },
  examples: [
    'eigenkv compress --calibration embedded.safetensors --ratio 0.4 --out small',
    'eigenkv compress --model SmolLM2-135M.gguf --calibration a.safetensors --ratio 0.6 --plan quantized:bits=4 --out small',
    'eigenkv eval --model small --against SmolLM2-135M.gguf',
  ],
  async run({
    out,
    model,
    backend,
    threads,
    weights,
    activations,
    calibration: path,
    dtype,
    columns: chosen,
    json,
    ...args
  }) {
    const {method, keyMethod, valueMethod, ratio, ranks, errorBudget, spread, ropeMode, distances, center} =
      args;
    if (out.endsWith('.gguf')) {
      throw new UsageError(`--out ${out}: GGUF has no place for a compressed model; give a folder.`);
    }
    const options = {
      ...{method, keyMethod, valueMethod, ratio, ranks, errorBudget, spread, ropeMode, distances, center},
      plan: args.plan === undefined ? undefined : await readPlan(args.plan),
    };
    const text = args.text === undefined ? await embeddedText('trainSample') : await readText(args.text);
    const calibration = await loadCalibration(path);
    const signal = interruptSignal();
    const loaded = await loadForCommand({model, backend, threads, weights, activations}, signal);
    try {
      using compressed = await withBar('Measuring', onProgress =>
        compress(loaded, calibration, {...options, text, tokens: sampleTokens, onProgress, signal}),
      );
      await saveModel(compressed, out, {dtype});
      const source = model ?? embeddedName;
      if (json) printJson(jsonOf(compressed, out, source));
      else report(compressed, out, source, chosen);
    } finally {
      loaded.dispose();
    }
  },
});

function ranks(description: string): Argument<{keys: number; values: number} | undefined> {
  return {
    ...text(description, 'K,V'),
    read(given, name) {
      const value = given.at(-1);
      if (value === undefined) return undefined;
      const [keys = NaN, values = NaN, ...more] = value.split(',').map(Number);
      if (more.length === 0 && [keys, values].every(rank => Number.isInteger(rank) && rank >= 1)) {
        return {keys, values};
      }
      throw new UsageError(
        `${name} = "${value}"; expected two whole numbers, of keys and of values, as in 32,48.`,
      );
    },
  };
}

/** The command that compares the compressed model with the original one. */
const evaluation = (out: string, source: string) =>
  `eigenkv eval --model ${shellWord(out)} --against ${shellWord(source)}`;

/** A word as written for a POSIX shell, quoted if necessary. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) && !word.startsWith('~')
    ? word
    : `'${word.replaceAll("'", `'\\''`)}'`;
}

function jsonOf(
  {rows, storedNumbers, denseNumbers, warnings, compression}: CompressedModel,
  out: string,
  source: string,
) {
  const ratio = storedNumbers / denseNumbers;
  const files = {out, source, evaluation: evaluation(out, source)};
  return {...files, storedNumbers, denseNumbers, ratio, compression, rows, warnings};
}

function report(
  {rows, storedNumbers, denseNumbers, warnings}: CompressedModel,
  out: string,
  source: string,
  chosen: readonly string[] | undefined,
): void {
  print(`${compressionTable(rows, chosen)}\n`);
  printProse(
    `${count(storedNumbers)} of ${counted(denseNumbers, 'number')} per token are stored: ${percent(storedNumbers / denseNumbers)} of ` +
      'the cache. Errors are relative: the calibration predicts them, and a sample text measures them.',
  );
  for (const warning of warnings) printNote(warning);
  printWritten([out]);
  printProse('To compare it with the original model:');
  print(`  ${evaluation(out, source)}`);
}
