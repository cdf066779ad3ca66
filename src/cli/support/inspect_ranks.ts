import {wholeNumber} from './arguments.js';
import {interruptSignal} from './interrupt.js';
import {loadForCommand} from './load.js';
import {print, printJson, printWritten} from './print.js';
import {featureChart, weightChart} from '../../report/rank_charts.js';
import {rankReport, shortRankReport} from './rank_report.js';
import {rankTables} from '../../report/rank_tables.js';
import {readText} from './read_text.js';
import {expectCharts} from '../../report/svg.js';
import {jsonFile, writeFiles} from './write_files.js';

interface InspectRanksArgs {
  readonly model?: string | undefined;
  readonly backend: string;
  readonly text?: string | undefined;
  readonly tokens?: string | undefined;
  readonly out?: string | undefined;
  readonly json?: boolean | undefined;
  readonly chosen: readonly string[] | undefined;
}

/** `eigenkv inspect --ranks`: loads the weights, sends a text through, and prints ranks. */
export async function inspectRanks(args: InspectRanksArgs): Promise<void> {
  const tokens = wholeNumber(args.tokens, 'tokens') ?? 1024;
  if (args.out !== undefined) await expectCharts();
  const text = args.text === undefined ? undefined : await readText(args.text);
  const signal = interruptSignal();
  const loaded = await loadForCommand(args, signal);
  const report = await rankReport(loaded, {tokens, text, textName: args.text, signal}).finally(() =>
    loaded.dispose(),
  );
  const json = shortRankReport(report);
  const files =
    args.out === undefined
      ? []
      : await writeFiles(args.out, {
          'ranks.json': jsonFile(json),
          'ranks.svg': await featureChart(report),
          'weights.svg': await weightChart(report),
        });
  if (args.json) {
    printJson(json);
    return;
  }
  print(rankTables(report, {chosen: args.chosen}));
  printWritten(files);
}
