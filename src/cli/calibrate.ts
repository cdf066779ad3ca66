import {InvalidArgumentError} from '../../base/errors.js';
import {
  type Calibration,
  calibrate,
  embeddedText,
  loadCalibration,
  mergeCalibrations,
  saveCalibration,
} from '../../models/index.js';
import {everyValue, given, wholeNumber} from './support/arguments.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {print, printJson} from './support/print.js';
import {progressBar} from './support/progress.js';
import {readText} from './support/read_text.js';
import {counted} from '../../base/units.js';
import {UsageError} from './support/usage_error.js';

/** Enough that every direction of a head of 64 or 128 numbers shows; some minutes for a model of 135M parameters. */
const defaultTokens = 16384;

export const calibrateCommand = command(
  {
    meta: {
      name: 'calibrate',
      description: 'Watch the attention of a model over texts: what "eigenkv compress" goes by',
    },
    args: {
      ...modelArgs,
      text: {
        type: 'string',
        description:
          'A text in UTF-8; may be repeated. Default: a sample of what the embedded model was trained on',
        valueHint: 'FILE',
      },
      tokens: {
        type: 'string',
        description: 'The first so many tokens, all texts together',
        default: String(defaultTokens),
        valueHint: 'N',
      },
      window: {
        type: 'string',
        description: "Texts are cut to pieces of so many tokens. Default: 1024, or the model's context",
        valueHint: 'N',
      },
      gradients: {
        type: 'string',
        description:
          'Of the first so many tokens also what a change costs, for --method fisher and for ranks; each takes as long as ten others',
        valueHint: 'N',
      },
      merge: {
        type: 'string',
        description: 'Add up calibrations of the same model instead: --merge A B; may be repeated',
        valueHint: 'FILE',
      },
      other: {type: 'positional', required: false, description: 'The second file of --merge'},
      out: {
        type: 'string',
        description: 'Write the calibration here, a .safetensors file',
        valueHint: 'FILE',
      },
      ...jsonArg,
      ...commonArgs,
    },
    async run({args, rawArgs}) {
      const {out, other} = args;
      if (out === undefined)
        throw new UsageError('--out is missing; name the file to write, as in --out a.safetensors.');
      const files = [...everyValue(rawArgs, 'merge'), ...(other === undefined ? [] : [other])];
      if (args.merge === undefined && other !== undefined) {
        throw new UsageError(`"${other}" is one argument too many; give texts with --text FILE.`);
      }
      const texts = everyValue(rawArgs, 'text');
      const tokens = wholeNumber(args.tokens, 'tokens') ?? defaultTokens;
      const window = wholeNumber(args.window, 'window');
      const gradientTokens = wholeNumber(args.gradients, 'gradients');
      const signal = interruptSignal();
      const calibration =
        files.length > 0
          ? await merged(files)
          : await calibrated({...args, texts, tokens, window, gradientTokens}, signal);
      await saveCalibration(calibration, out);
      const {depths, fingerprint} = calibration;
      if (args.json) {
        printJson({out, tokens: calibration.tokens, depths: depths.length, fingerprint});
        return;
      }
      // on one line, however long: paths are copied
      print(
        `Wrote ${out}: ${counted(calibration.tokens, 'token')} at ${counted(depths.length, 'depth')} of the model ${fingerprint}`,
      );
    },
  },
  [
    'eigenkv calibrate --out embedded.safetensors',
    'eigenkv calibrate --model SmolLM2-135M.gguf --text book.txt --tokens 32768 --gradients 2048 --out a.safetensors',
    'eigenkv calibrate --merge a.safetensors b.safetensors --out both.safetensors',
  ],
);

interface CalibrateArgs {
  readonly model?: string | undefined;
  readonly backend: string;
  readonly texts: readonly string[];
  readonly tokens: number;
  readonly window: number | undefined;
  readonly gradientTokens: number | undefined;
}

async function calibrated(args: CalibrateArgs, signal: AbortSignal): Promise<Calibration> {
  const texts = await Promise.all(args.texts.map(readUtf8)); // before a model is loaded in vain
  const loaded = await loadForCommand(args, signal);
  const bar = progressBar('Calibrating');
  try {
    return await calibrate(loaded, texts.length > 0 ? texts : [await embeddedText('trainSample')], {
      tokens: args.tokens,
      ...given({window: args.window, gradientTokens: args.gradientTokens}),
      onProgress: ({done, total}) => bar.update(done, total),
      signal,
    });
  } finally {
    bar.stop();
    loaded.dispose();
  }
}

async function merged(files: readonly string[]): Promise<Calibration> {
  if (files.length < 2) throw new UsageError('--merge takes two files or more: --merge A B.');
  return mergeCalibrations(await Promise.all(files.map(file => loadCalibration(file))));
}

async function readUtf8(path: string): Promise<string> {
  const text = new TextDecoder().decode(await readText(path));
  if (text.trim() === '') throw new InvalidArgumentError(`${path} is empty; give some text to calibrate on.`);
  return text;
}
