import {asPlan} from '../../cache/plans/as_plan.js';
import {type Tuning, tune} from '../evaluate/tune.js';
import {expectCharts} from '../report/svg.js';
import {certificateText} from '../report/certificate_table.js';
import {driftText} from '../evaluate/index.js';
import {type TunePageParts, tunePage} from '../report/tune_page.js';
import {tuneCurveSvg, widthsSvg} from '../report/tune_charts.js';
import {tuneColumnNames, tuneTable} from '../report/tune_table.js';
import {outputWidth} from '../report/terminal.js';
import {percent, small} from '../../base/units.js';
import {type Argument, columns, number, text, withDefault, wholeNumber} from './support/arguments.js';
import {certificatesOf, certifyArg} from './support/certificates.js';
import {command} from './support/command.js';
import {jsonFile, writeFiles} from './support/files.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs, profileArg} from './support/load.js';
import {print, printJson, printProse, printWritten} from './support/print.js';
import {withBar} from './support/progress.js';
import {readNamedText, textArg} from './support/text_args.js';
import {UsageError} from './support/usage_error.js';

export const tuneCommand = command({
  name: 'tune',
  description: 'Find the bits of the transform codec for a size or a loss, and check them on a text',
  args: {
    ...modelArgs,
    profile: profileArg,
    text: textArg,
    tokens: withDefault(wholeNumber('Use only this many tokens at the start of the text', 3), '2048'),
    chunk: withDefault(wholeNumber('Tokens per forward pass; they are compressed after it'), '64'),
    target: ratio('The most bytes per token, relative to float32, as in 0.1x'),
    maxKl: number(
      'The most KL divergence from the full cache, in nats per token',
      'a number above 0',
      x => x > 0,
    ),
    certify: certifyArg,
    out: text('Write plan.json, curve.json, curve.svg, bits.svg and page.html into this folder', 'FOLDER'),
    columns: columns(tuneColumnNames),
  },
  examples: [
    'eigenkv tune --target 0.1x',
    'eigenkv tune --model SmolLM2-135M.gguf --text book.txt --max-kl 0.01 --out tuned',
    'eigenkv eval --plan tuned/plan.json',
  ],
  async run({
    text: path,
    tokens,
    chunk,
    target,
    maxKl,
    certify: certifies,
    out,
    columns: chosen,
    json,
    ...model
  }) {
    if ((target === undefined) === (maxKl === undefined)) {
      throw new UsageError('Give --target, such as 0.1x, or --max-kl, such as 0.01, and not both.');
    }
    if (out !== undefined) await expectCharts();
    const named = await readNamedText(path);
    const signal = interruptSignal();
    const loaded = await loadForCommand(model, signal);
    const measured = async () => {
      const tuning = await withBar('Measuring', onProgress =>
        tune(loaded, named.content, {targetRatio: target, maxKl, tokens, chunk, onProgress, signal}),
      );
      if (!certifies) return {tuning, certificates: []};
      const options = {text: named, tokens, chunk, signal};
      return {tuning, certificates: await certificatesOf(loaded, [asPlan(tuning.plan)], options)};
    };
    const {tuning, certificates} = await measured().finally(() => loaded.dispose());
    const parts = {model: loaded.name, text: named.name, tuning, certificates};
    const files = out === undefined ? [] : await write(out, parts);
    if (json) {
      printJson(certifies ? {...tuning, certificates} : tuning);
      return;
    }
    report(tuning, chosen, maxKl);
    for (const certificate of certificates) print(`\n${certificateText(certificate)}`);
    printWritten(files);
  },
});

/** A share of float32: `0.1x`. */
function ratio(description: string): Argument<number | undefined> {
  return {
    ...text(description, 'RATIO'),
    read(given, name) {
      const value = given.at(-1);
      if (value === undefined) return undefined;
      const share = Number(/^(?<share>\d*\.?\d+)x$/.exec(value)?.groups?.['share']);
      if (share > 0) return share;
      throw new UsageError(`${name} = "${value}"; expected a share of float32 such as 0.1x.`);
    },
  };
}

async function write(folder: string, parts: Omit<TunePageParts, 'curve' | 'bits'>): Promise<string[]> {
  const {model, text, tuning} = parts;
  const [curve, bits] = [await tuneCurveSvg(model, text, tuning), await widthsSvg(model, tuning.widths)];
  return writeFiles(folder, {
    'plan.json': jsonFile(tuning.plan),
    'curve.json': jsonFile(tuning),
    'curve.svg': curve,
    'bits.svg': bits,
    'page.html': tunePage({...parts, curve, bits}),
  });
}

function report(
  {points, chosen, plan}: Tuning,
  shown: readonly string[] | undefined,
  maxKl: number | undefined,
): void {
  print(`${tuneTable(points, chosen, {chosen: shown, width: outputWidth()})}\n`);
  const {predictedKl} = chosen;
  const predicted = predictedKl === undefined ? '' : `, ${small(predictedKl)} predicted`;
  const measured = chosen.measured!;
  const missed =
    maxKl !== undefined && measured.klDivergence > maxKl
      ? ` That is more than ${small(maxKl)}: 8 bits are the most.`
      : '';
  printProse(
    `${chosen.bits} bits: KL ${small(measured.klDivergence)} ± ${small(measured.klStderr)} measured${predicted}; the same most probable token for ` +
      `${percent(measured.top1Agreement, 1)}. "All" counts exact tokens and spare room of this text as well.${missed}`,
  );
  if (measured.drift !== undefined) printProse(driftText(measured.drift));
  printProse(`The plan: ${JSON.stringify(plan)}`);
}
