import {evaluateModel} from './support/evaluate_model.js';
import {everyValue} from './support/arguments.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {planArgs, readPlans} from './support/plans.js';
import {print, printJson} from './support/print.js';
import {reportTable} from './support/report_table.js';
import {expectCharts} from './support/svg.js';
import {readTextChoice, textArgs} from './support/text_args.js';
import {writeReport, writeReportPage} from './support/write_report.js';

export const evalCommand = command(
  {
    meta: {
      name: 'eval',
      description: 'What policies cost and save over a text, against the same model with its full cache',
    },
    args: {
      ...modelArgs,
      ...textArgs,
      ...planArgs,
      policy: {
        ...planArgs.policy,
        description: `${planArgs.policy.description}; or all. May be repeated, as plans and scenarios may. Default: quantized`,
      },
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
      const policies = await readPlans(given, 'quantized');
      if (args.out !== undefined || args.report !== undefined) await expectCharts();
      const choice = await readTextChoice(args, 3);
      const signal = interruptSignal();
      const loaded = await loadForCommand(args, signal);
      const options = {...choice, policies, backend: args.backend, signal};
      const report = await evaluateModel(loaded, options).finally(() => loaded.dispose());
      const files = args.out === undefined ? [] : await writeReport(report, args.out);
      if (args.report !== undefined) files.push(await writeReportPage(report, args.report));
      if (args.json) {
        printJson(report);
        return;
      }
      print(reportTable(report));
      for (const file of files) print(`Wrote ${file}`);
    },
  },
  [
    'eigenkv eval --policy quantized:bits=4 --policy h2o',
    'eigenkv eval --policy all --tokens 2048 --out reports',
    'eigenkv eval --policy all --report report.html',
    'eigenkv eval --plan plan.json --scenario memory',
    'eigenkv eval --model SmolLM2-135M.gguf --text book.txt --policy quantized:bits=8 --json',
  ],
);
