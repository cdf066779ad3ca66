import {asPolicy} from '../../cache/policies/as_policy.js';
import {
  type CompressOptions,
  type CompressedModel,
  type LoadedModel,
  basisMethods,
  compressModel,
  embeddedText,
  loadCalibration,
  saveModel,
} from '../../models/index.js';
import {given, positiveNumber, share} from './support/arguments.js';
import {compressionColumnNames, compressionTable} from '../report/compression_table.js';
import {columnsArg, readColumns} from './support/columns_arg.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {embeddedName} from './support/model_name.js';
import {print, printJson, printNote, printProse, printWritten} from './support/print.js';
import {progressBar} from './support/progress.js';
import {readText} from './support/read_text.js';
import {shellWord} from './support/shell_word.js';
import {count, counted, percent} from '../../base/units.js';
import {UsageError} from './support/usage_error.js';

/** Tokens that errors and their cost are measured on: a few seconds for each depth of a model of 135M parameters. */
const sampleTokens = 256;

export const compressCommand = command(
  {
    meta: {
      name: 'compress',
      description: 'Merge low-rank bases into the attention of a model, found by "eigenkv calibrate"',
    },
    args: {
      ...modelArgs,
      calibration: {type: 'string', description: 'What "eigenkv calibrate" wrote', valueHint: 'FILE'},
      method: {
        type: 'string',
        description: `How directions are chosen: ${basisMethods.join(', ')}`,
        default: 'kqSvd',
        valueHint: 'NAME',
      },
      'key-method': {type: 'string', description: 'Another method for keys', valueHint: 'NAME'},
      'value-method': {type: 'string', description: 'Another method for values', valueHint: 'NAME'},
      ratio: {
        type: 'string',
        description: "Share of the cache's numbers that is kept, above 0, at most 1. Default 0.5",
        valueHint: 'R',
      },
      ranks: {
        type: 'string',
        description: 'Ranks of keys and values instead: 32,48',
        valueHint: 'K,V',
      },
      'error-budget': {
        type: 'string',
        description: "Instead: the largest relative error of each depth's attention output, as 0.025",
        valueHint: 'E',
      },
      spread: {
        type: 'string',
        description: 'How a ratio is spread over depths: waterFilled, uniform',
        default: 'waterFilled',
        valueHint: 'NAME',
      },
      'rope-mode': {
        type: 'string',
        description: 'Keys are compressed before their rotation or after it',
        default: 'before',
        valueHint: 'NAME',
      },
      distances: {
        type: 'string',
        description: 'How far attention is taken to look back: falling, uniform',
        default: 'falling',
        valueHint: 'NAME',
      },
      center: {type: 'boolean', description: 'Take the means of keys and values off'},
      text: {
        type: 'string',
        description: `Measure on the first ${sampleTokens} tokens of this text. Default: a sample that comes along`,
        valueHint: 'FILE',
      },
      policy: {
        type: 'string',
        description: 'What the layers ask for in a cache without a plan, as quantized:bits=4. Default: full',
        valueHint: 'P',
      },
      dtype: {
        type: 'string',
        description: 'Numbers in the file: F32, F16',
        default: 'F32',
        valueHint: 'NAME',
      },
      out: {type: 'string', description: 'Write the model into this folder', valueHint: 'FOLDER'},
      ...columnsArg(compressionColumnNames),
      ...jsonArg,
      ...commonArgs,
    },
    async run({args, rawArgs}) {
      const {out, calibration: path, dtype} = args;
      if (out === undefined) throw new UsageError('--out is missing; name the folder to write.');
      if (path === undefined) {
        throw new UsageError(
          '--calibration is missing; make one with "eigenkv calibrate --out FILE.safetensors".',
        );
      }
      if (dtype !== 'F32' && dtype !== 'F16')
        throw new UsageError(`--dtype = "${dtype}"; expected F32 or F16.`);
      const options = readOptions(args);
      const chosen = readColumns(rawArgs, compressionColumnNames);
      const text = args.text === undefined ? undefined : new TextDecoder().decode(await readText(args.text));
      const calibration = await loadCalibration(path);
      const signal = interruptSignal();
      const loaded = await loadForCommand(args, signal);
      const bar = progressBar('Measuring');
      try {
        const ids = loaded.tokenizer.encode(text ?? (await embeddedText('trainSample')), {
          parseSpecial: false,
        });
        const compressed = await compressModel(loaded.model, calibration, {
          ...options,
          sample: ids.slice(0, Math.min(sampleTokens, loaded.config.contextLength)),
          onProgress: ({done, total}) => bar.update(done, total),
          signal,
        });
        bar.stop();
        await save(loaded, compressed, out, dtype);
        compressed.model.dispose();
        const source = args.model ?? embeddedName;
        if (args.json) printJson(jsonOf(compressed, out, source));
        else report(compressed, out, source, chosen);
      } finally {
        bar.stop();
        loaded.dispose();
      }
    },
  },
  [
    'eigenkv compress --calibration embedded.safetensors --ratio 0.4 --out small',
    'eigenkv compress --model SmolLM2-135M.gguf --calibration a.safetensors --ratio 0.6 --policy quantized:bits=4 --out small',
    'eigenkv eval --model small --against SmolLM2-135M.gguf',
  ],
);

interface CompressArgs {
  readonly method: string;
  readonly 'key-method'?: string | undefined;
  readonly 'value-method'?: string | undefined;
  readonly ratio?: string | undefined;
  readonly ranks?: string | undefined;
  readonly 'error-budget'?: string | undefined;
  readonly spread: string;
  readonly 'rope-mode': string;
  readonly distances: string;
  readonly center?: boolean | undefined;
  readonly policy?: string | undefined;
}

/** Names are checked by `compressModel`, which says what it allows. */
function readOptions(args: CompressArgs): CompressOptions {
  const named = {
    method: args.method,
    keyMethod: args['key-method'],
    valueMethod: args['value-method'],
    spread: args.spread,
    ropeMode: args['rope-mode'],
    distances: args.distances,
  } as Pick<CompressOptions, 'method' | 'keyMethod' | 'valueMethod' | 'spread' | 'ropeMode' | 'distances'>;
  return {
    ...given(named),
    ...given({
      ratio: share(args.ratio, 'ratio'),
      errorBudget: positiveNumber(args['error-budget'], 'error-budget'),
      ranks: args.ranks === undefined ? undefined : readRanks(args.ranks),
      plan: args.policy === undefined ? undefined : asPolicy(args.policy),
    }),
    center: args.center ?? false,
  };
}

function readRanks(text: string): {keys: number; values: number} {
  const [keys = NaN, values = NaN, ...more] = text.split(',').map(Number);
  if (more.length === 0 && [keys, values].every(rank => Number.isInteger(rank) && rank >= 1))
    return {keys, values};
  throw new UsageError(
    `--ranks = "${text}"; expected two whole numbers, of keys and of values, as in 32,48.`,
  );
}

async function save(
  loaded: LoadedModel,
  {model, compression}: CompressedModel,
  folder: string,
  dtype: 'F32' | 'F16',
): Promise<void> {
  await saveModel({...loaded, model, config: {...loaded.config, compression}}, folder, {dtype});
}

/** What shows how the model that was written stands against the one that it was made of. */
const evaluation = (out: string, source: string) =>
  `eigenkv eval --model ${shellWord(out)} --against ${shellWord(source)}`;

function jsonOf(
  {rows, storedNumbers, denseNumbers, warnings, compression}: CompressedModel,
  out: string,
  source: string,
) {
  const ratio = storedNumbers / denseNumbers;
  return {
    out,
    source,
    storedNumbers,
    denseNumbers,
    ratio,
    compression,
    rows,
    warnings,
    evaluation: evaluation(out, source),
  };
}

function report(
  {rows, storedNumbers, denseNumbers, warnings}: CompressedModel,
  out: string,
  source: string,
  chosen: readonly string[] | undefined,
): void {
  print(`${compressionTable(rows, chosen)}\n`);
  printProse(
    `${count(storedNumbers)} of ${counted(denseNumbers, 'number')} a token are stored: ${percent(storedNumbers / denseNumbers)} of ` +
      'the cache. Errors are relative: the calibration predicts them, a sample text shows them.',
  );
  for (const warning of warnings) printNote(warning);
  printWritten([out]);
  printProse('What it costs against the model that it was made of:');
  print(`  ${evaluation(out, source)}`);
}
