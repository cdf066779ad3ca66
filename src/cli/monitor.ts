import type {Plan} from '../../cache/plans/plan.js';
import {type LoadedModel, embeddedText} from '../../models/index.js';
import {monitor, policyLabel, textIds} from '../evaluate/index.js';
import {columnsArg, readColumns} from './support/columns_arg.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {type NamedMonitorReport, bytesChart, errorChart, rankChart} from '../report/monitor_charts.js';
import {monitorColumnNames, monitorTable} from '../report/monitor_table.js';
import {planArgs, readPlan} from './support/plans.js';
import {print, printJson, printWritten} from './support/print.js';
import {progressBar} from './support/progress.js';
import {expectCharts} from '../report/svg.js';
import {type TextChoice, defaultTokens, readTextChoice, textArgs} from './support/text_args.js';
import {jsonFile, writeFiles} from './support/write_files.js';

export const monitorCommand = command(
  {
    meta: {
      name: 'monitor',
      description: 'What a plan does at each depth: bytes, ranks, entropies, errors, seals, folds, evictions',
    },
    args: {
      ...modelArgs,
      ...textArgs,
      ...planArgs,
      ...columnsArg(monitorColumnNames),
      out: {
        type: 'string',
        description: 'Write monitor.json and the charts errors.svg, bytes.svg and ranks.svg into this folder',
        valueHint: 'FOLDER',
      },
      ...jsonArg,
      ...commonArgs,
    },
    async run({args, rawArgs}) {
      const plan = await readPlan(args, 'quantized');
      const chosen = readColumns(rawArgs, monitorColumnNames);
      if (args.out !== undefined) await expectCharts();
      const choice = await readTextChoice(args);
      const signal = interruptSignal();
      const loaded = await loadForCommand(args, signal);
      const options = {...choice, plan, backend: args.backend, signal};
      const report = await monitorModel(loaded, options).finally(() => loaded.dispose());
      const files = args.out === undefined ? [] : await writeFiles(args.out, await filesOf(report));
      if (args.json) {
        printJson(withoutSpectra(report));
        return;
      }
      print(monitorTable(report, {chosen}));
      printWritten(files);
    },
  },
  [
    'eigenkv monitor --policy quantized:bits=4',
    'eigenkv monitor --scenario memory --out reports',
    'eigenkv monitor --model SmolLM2-135M.gguf --text book.txt --plan plan.json --json',
  ],
);

interface MonitorModelOptions extends TextChoice {
  readonly plan: Plan;
  readonly backend: string;
  readonly signal: AbortSignal;
}

/** Monitors a plan, with a progress bar, and says on what. */
async function monitorModel(
  loaded: LoadedModel,
  {
    plan,
    tokens: maxTokens = defaultTokens,
    step,
    text,
    textName = 'held-out text',
    backend,
    signal,
  }: MonitorModelOptions,
): Promise<NamedMonitorReport> {
  const ids = textIds(loaded.tokenizer, text ?? (await embeddedText('heldOut')), textName);
  const bar = progressBar('Monitoring');
  const onProgress = ({done, total}: {done: number; total: number}) => bar.update(done, total);
  try {
    const found = await monitor(loaded, [ids], plan, {step, maxTokens, signal, onProgress});
    const tokens = found.overall.tokensSeen;
    return {model: loaded.name, text: textName, tokens, step, plan: policyLabel(plan), backend, ...found};
  } finally {
    bar.stop();
  }
}

async function filesOf(report: NamedMonitorReport): Promise<Record<string, string>> {
  return {
    'monitor.json': jsonFile(withoutSpectra(report)),
    'errors.svg': await errorChart(report),
    'bytes.svg': await bytesChart(report),
    'ranks.svg': await rankChart(report),
  };
}

/** Thousands of singular values are for programs, which call `monitor` themselves. */
function withoutSpectra({ranks, ...report}: NamedMonitorReport) {
  const shortened = ranks.map(({depth, kvHead, feature, dim, effectiveRank, stableRank}) => {
    return {depth, kvHead, feature, dim, effectiveRank, stableRank};
  });
  return {...report, ranks: shortened};
}
