import {againstArg, checkSameVocabulary, ownPlan} from './support/against.js';
import {everyValue} from './support/arguments.js';
import {columnsArg, readColumns} from './support/columns_arg.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {type EvaluateModelOptions, evaluateModel} from './support/evaluate_model.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {planArgs, readPlans} from './support/plans.js';
import {print, printJson, printWritten} from './support/print.js';
import {reportColumnNames, reportTable} from '../report/report_table.js';
import {expectCharts} from '../report/svg.js';
import {readTextChoice, textArgs} from './support/text_args.js';
import {writeReport, writeReportPage} from './support/write_report.js';
import type {EvaluationReport} from '../evaluate/index.js';

export const evalCommand = command(
  {
    meta: {
      name: 'eval',
      description:
        'What policies cost and save over a text, against the full cache of the same model, or of the one that it was made of',
    },
    args: {
      ...modelArgs,
      ...againstArg,
      ...textArgs,
      ...planArgs,
      policy: {
        ...planArgs.policy,
        description: `${planArgs.policy.description}; or all. May be repeated, as plans and scenarios may. Default: quantized; with --against what the layers ask for`,
      },
      ...columnsArg(reportColumnNames),
      out: {
        type: 'string',
        description: 'Write report.json and chart.svg into this folder',
        valueHint: 'FOLDER',
      },
      report: {
        type: 'string',
        description: 'Write one page with the table and the chart to this file',
        valueHint: 'FILE.html',
      },
      ...jsonArg,
      ...commonArgs,
    },
    async run({args, rawArgs}) {
      const given = {
        policy: everyValue(rawArgs, 'policy'),
        plan: everyValue(rawArgs, 'plan'),
        scenario: everyValue(rawArgs, 'scenario'),
      };
      const policies = await readPlans(given, args.against === undefined ? ['quantized'] : []);
      const chosen = readColumns(rawArgs, reportColumnNames);
      if (args.out !== undefined || args.report !== undefined) await expectCharts();
      const choice = await readTextChoice(args, 3);
      const signal = interruptSignal();
      const report = await loadAndEvaluate(args, {...choice, policies, backend: args.backend, signal});
      const files = args.out === undefined ? [] : await writeReport(report, args.out);
      if (args.report !== undefined) files.push(await writeReportPage(report, args.report));
      if (args.json) {
        printJson(report);
        return;
      }
      print(reportTable(report, {chosen}));
      printWritten(files);
    },
  },
  [
    'eigenkv eval --policy quantized:bits=4 --policy h2o',
    'eigenkv eval --policy all --tokens 2048 --out reports',
    'eigenkv eval --policy all --report report.html --columns policy,change,float32,peak',
    'eigenkv eval --plan plan.json --scenario memory',
    'eigenkv eval --model small --against SmolLM2-135M.gguf',
    'eigenkv eval --model SmolLM2-135M.gguf --text book.txt --policy quantized:bits=8 --json',
    'eigenkv eval --import my_policy.mjs --policy mine:option=1',
  ],
);

interface EvaluatedArgs {
  readonly model?: string | undefined;
  readonly against?: string | undefined;
  readonly backend: string;
}

async function loadAndEvaluate(
  {model, against: other, backend}: EvaluatedArgs,
  options: EvaluateModelOptions,
): Promise<EvaluationReport> {
  const loaded = await loadForCommand({model, backend}, options.signal);
  try {
    if (other === undefined) return await evaluateModel(loaded, options);
    const against = await loadForCommand({model: other, backend}, options.signal);
    try {
      checkSameVocabulary(loaded, against);
      const policies = options.policies.length > 0 ? options.policies : [ownPlan(loaded)];
      return await evaluateModel(loaded, {...options, policies, against});
    } finally {
      against.dispose();
    }
  } finally {
    loaded.dispose();
  }
}
