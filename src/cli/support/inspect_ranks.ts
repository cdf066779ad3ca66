import {analyzeRanks, weightSpectra, weightSummary} from '../../evaluate/index.js';
import {featureChart, weightChart} from '../../report/rank_charts.js';
import {type RankReport, rankTables} from '../../report/rank_tables.js';
import {expectCharts} from '../../report/svg.js';
import {jsonFile, writeFiles} from './files.js';
import {interruptSignal} from './interrupt.js';
import {type ModelArgs, loadForCommand} from './load.js';
import {print, printJson, printWritten} from './print.js';
import {withBar} from './progress.js';
import {readNamedText} from './text_args.js';

interface InspectRanksArgs extends ModelArgs {
  readonly text?: string;
  readonly tokens?: number;
  readonly out?: string;
  readonly json: boolean;
  readonly chosen?: readonly string[];
}

/** `eigenkv inspect --ranks`: loads the weights, runs a text, and prints ranks. */
export async function inspectRanks({out, json, chosen, ...args}: InspectRanksArgs): Promise<void> {
  if (out !== undefined) await expectCharts();
  const report = await rankReport(args);
  const short = withoutSpectra(report);
  const files =
    out === undefined
      ? []
      : await writeFiles(out, {
          'ranks.json': jsonFile(short),
          'ranks.svg': await featureChart(report),
          'weights.svg': await weightChart(report),
        });
  if (json) {
    printJson(short);
    return;
  }
  print(rankTables(report, {chosen}));
  printWritten(files);
}

async function rankReport({
  text: path,
  tokens,
  ...args
}: Omit<InspectRanksArgs, 'out' | 'json' | 'chosen'>): Promise<RankReport> {
  const text = await readNamedText(path);
  const signal = interruptSignal();
  const loaded = await loadForCommand(args, signal);
  try {
    const analysis = await withBar('Watching the text', onProgress =>
      analyzeRanks(loaded, text.content, {tokens, signal, onProgress}),
    );
    const spectra = await withBar('Decomposing weights', onProgress =>
      weightSpectra(loaded, {signal, onProgress}),
    );
    return {model: loaded.name, text: text.name, weights: weightSummary(spectra), spectra, ...analysis};
  } finally {
    loaded.dispose();
  }
}

/** Leaves out singular values, which programs get from `analyzeRanks` and `weightSpectra`. */
function withoutSpectra({spectra, features, ...report}: RankReport) {
  return {
    ...report,
    spectra: spectra.map(({singularValues, ...spectrum}) => ({...spectrum, largest: singularValues[0] ?? 0})),
    features: features.map(({singularValues: _, ...feature}) => feature),
  };
}
