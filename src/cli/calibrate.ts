import {parse, resolve} from 'node:path';
import {counted} from '../../base/units.js';
import {
  calibrate,
  embeddedText,
  loadCalibration,
  mergeCalibrations,
  saveCalibration,
  saveTransformProfile,
  transformProfile,
} from '../../models/index.js';
import {required, text, texts, wholeNumber, withDefault, word} from './support/arguments.js';
import {command} from './support/command.js';
import {readText} from './support/files.js';
import {interruptSignal} from './support/interrupt.js';
import {type ModelArgs, loadForCommand, modelArgs} from './support/load.js';
import {print, printJson} from './support/print.js';
import {withBar} from './support/progress.js';
import {UsageError} from './support/usage_error.js';

/** Enough for a profile: more lower its divergence by some tenths. */
const profileGradients = 3072;

export const calibrateCommand = command({
  name: 'calibrate',
  description:
    'Measure the attention of a model over texts, from which "eigenkv compress" chooses bases and ranks',
  args: {
    ...modelArgs,
    text: texts(
      'A text in UTF-8. Default: a sample of the text that the embedded model was trained on',
      'FILE',
    ),
    // enough for all directions of heads of dim 64 or 128; takes minutes for a model of 135M parameters
    tokens: withDefault(wholeNumber('At most this many tokens, all texts together'), '16384'),
    window: wholeNumber("Cut texts into pieces of this many tokens. Default: 1024, or the model's context"),
    gradients: wholeNumber(
      'Also compute gradients on this many tokens, for --method fisher, ranks and the transform codec; each takes as long as five others',
    ),
    profile: text(
      'Also write the profile of the transform codec to this .safetensors file; --gradients is then 3072 by default',
      'FILE',
    ),
    merge: texts('Merge calibrations of the same model instead: --merge A B', 'FILE'),
    other: word('The second file of --merge'),
    out: required(text('Write the calibration to this .safetensors file', 'FILE')),
  },
  examples: [
    'eigenkv calibrate --out embedded.safetensors',
    'eigenkv calibrate --model SmolLM2-135M.gguf --text book.txt --tokens 32768 --gradients 2048 --out a.safetensors',
    'eigenkv calibrate --merge a.safetensors b.safetensors --out both.safetensors',
    'eigenkv calibrate --tokens 8192 --out embedded.safetensors --profile profile.safetensors',
  ],
  async run({out, profile, other, merge, tokens, window, gradients: gradientTokens, json, ...args}) {
    if (merge.length === 0 && other !== undefined) {
      throw new UsageError(`Unexpected argument "${other}"; give texts with --text FILE.`);
    }
    if (profile !== undefined && resolve(profile) === resolve(out)) {
      throw new UsageError(
        `--out and --profile name the same file, ${out}: a calibration and its profile are two.`,
      );
    }
    const files = other === undefined ? merge : [...merge, other];
    const calibration =
      files.length > 0
        ? await merged(files)
        : await calibrated(args, {
            ...{tokens, window},
            gradientTokens: gradientTokens ?? (profile === undefined ? undefined : profileGradients),
          });
    await saveCalibration(calibration, out); // first: a profile may be refused, and the calibration took minutes
    const {depths, fingerprint} = calibration;
    // on one line, however long, because paths are copied
    const said = `Wrote ${out}: ${counted(calibration.tokens, 'token')} at ${counted(depths.length, 'depth')} of the model ${fingerprint}`;
    if (!json) print(said);
    if (profile !== undefined) {
      await saveTransformProfile(
        transformProfile(calibration, {texts: textNames(files, args.text)}),
        profile,
      );
      if (!json) print(`Wrote ${profile}: the profile of its transforms`);
    }
    if (json) printJson({out, profile, tokens: calibration.tokens, depths: depths.length, fingerprint});
  },
});

async function calibrated(
  args: ModelArgs & {readonly text: readonly string[]},
  options: {readonly tokens: number; readonly window?: number; readonly gradientTokens?: number},
) {
  const given = await Promise.all(args.text.map(readText)); // before the model is loaded, so that a wrong path fails at once
  const signal = interruptSignal();
  const loaded = await loadForCommand(args, signal);
  const texts = given.length > 0 ? given : [await embeddedText('trainSample')];
  return withBar('Calibrating', onProgress =>
    calibrate(loaded, texts, {...options, onProgress, signal}),
  ).finally(() => loaded.dispose());
}

async function merged(files: readonly string[]) {
  if (files.length < 2) throw new UsageError('--merge needs two files or more: --merge A B.');
  return mergeCalibrations(await Promise.all(files.map(file => loadCalibration(file))));
}

/** The texts' names in a profile: without folders and endings. Calibrations do not name theirs. */
function textNames(merged: readonly string[], given: readonly string[]): string[] {
  if (merged.length > 0) return [];
  return given.length > 0 ? given.map(path => parse(path).name) : ['train_sample'];
}
