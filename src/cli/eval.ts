import {evaluateModel} from './support/evaluate_model.js';
import {everyValue, wholeNumber} from './support/arguments.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {planArgs, readPlans} from './support/plans.js';
import {print, printJson} from './support/print.js';
import {readText} from './support/read_text.js';
import {reportTable} from './support/report_table.js';
import {writeReport} from './support/write_report.js';

export const evalCommand = command(
  {
    meta: {
      name: 'eval',
      description: 'What policies cost and save over a text, against the same model with its full cache',
    },
    args: {
      ...modelArgs,
      text: {
        type: 'string',
        description: 'A text in UTF-8. Default: one that comes along, which the embedded model never saw',
        valueHint: 'FILE',
      },
      tokens: {
        type: 'string',
        description: `The first so many tokens of the text. Default: 1024, or all where there are fewer`,
        valueHint: 'N',
      },
      step: {
        type: 'string',
        description: 'Tokens that come into the cache at a time; the next ones attend to what was compressed',
        default: '64',
        valueHint: 'N',
      },
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
      const tokens = wholeNumber(args.tokens, 'tokens', 3);
      const step = wholeNumber(args.step, 'step') ?? 64;
      const text = args.text === undefined ? undefined : await readText(args.text);
      const signal = interruptSignal();
      const loaded = await loadForCommand(args, signal);
      const options = {policies, tokens, step, text, textName: args.text, backend: args.backend, signal};
      const report = await evaluateModel(loaded, options).finally(() => loaded.dispose());
      const files = args.out === undefined ? [] : await writeReport(report, args.out);
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
    'eigenkv eval --plan plan.json --scenario memory',
    'eigenkv eval --model SmolLM2-135M.gguf --text book.txt --policy quantized:bits=8 --json',
  ],
);
