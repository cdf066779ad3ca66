import {embeddedName} from '../../models/embedded_model.js';
import {basename, dirname} from 'node:path';
import {chartSvg} from '../report/evaluation_chart.js';
import {reportPage} from '../report/report_page.js';
import {type EvaluationReport, reportColumnNames, reportTable} from '../report/report_table.js';
import {expectCharts} from '../report/svg.js';
import {certificateText} from '../report/certificate_table.js';
import {columns, text} from './support/arguments.js';
import {certificatesOf, certifyArg} from './support/certificates.js';
import {command} from './support/command.js';
import {jsonFile, writeFiles} from './support/files.js';
import {interruptSignal} from './support/interrupt.js';
import {type ModelArgs, loadForCommand, modelArgs, profileArg} from './support/load.js';
import {type MeasureOptions, measure} from './support/measure.js';
import {plansArg, readPlans} from './support/plans.js';
import {print, printJson, printWritten} from './support/print.js';
import {
  type AskOptions,
  ask,
  asksAnything,
  predictionFiles,
  printAsked,
  readTasks,
  taskArgs,
} from './support/tasks.js';
import {readNamedText, textArgs} from './support/text_args.js';
import {UsageError} from './support/usage_error.js';

export const evalCommand = command({
  name: 'eval',
  description:
    'Measure plans on a text, compared with the full cache of the same model, or of the original of a compressed model',
  args: {
    ...modelArgs,
    profile: profileArg,
    against: text(
      `Compare with the full cache of this model, from which "eigenkv compress" made --model; ${embeddedName} is the bundled one`,
      'MODEL',
    ),
    ...textArgs(3),
    plan: plansArg('quantized; with --against, the plan that the layers ask for'),
    ...taskArgs,
    columns: columns(reportColumnNames),
    out: text(
      'Write report.json, chart.svg and, of --task, predictions_PLAN.csv as kvpress does into this folder',
      'FOLDER',
    ),
    certify: certifyArg,
    report: text(
      'Write one page with the table, the chart, the answers to --task, --written and the certificates to this file',
      'FILE.html',
    ),
  },
  examples: [
    'eigenkv eval --plan quantized:bits=4 --plan h2o',
    'eigenkv eval --plan all --tokens 2048 --out reports',
    'eigenkv eval --plan 0.1x --certify --report report.html',
    'eigenkv eval --plan 0.1x --plan sliding:window=60 --task copy --task needle --context 500',
    'eigenkv eval --plan all --report report.html --columns plan,change,float32,peak',
    'eigenkv eval --plan plan.json --plan memory',
    `eigenkv eval --plan '{"name":"h2o"}'`,
    'eigenkv eval --model small --against SmolLM2-135M.gguf',
    'eigenkv eval --model SmolLM2-135M --weights packed4 --against SmolLM2-135M',
    'eigenkv eval --model SmolLM2-135M.gguf --text book.txt --plan quantized:bits=8 --json',
    'eigenkv eval --import my_policy.mjs --plan mine:option=1',
  ],
  async run({
    model,
    against,
    backend,
    threads,
    weights,
    activations,
    profile,
    plan,
    columns: chosen,
    out,
    certify: certifies,
    report: page,
    json,
    tokens,
    chunk,
    task,
    questions,
    context,
    written,
    seed,
    ...args
  }) {
    const plans = await readPlans(plan.length > 0 || against !== undefined ? plan : ['quantized']);
    if (out !== undefined || page !== undefined) await expectCharts();
    if (certifies && against !== undefined) {
      throw new UsageError(
        '--certify measures the depths of --model beside its own full cache: leave --against out.',
      );
    }
    const asked = {tasks: await readTasks(task), questions, context, written, seed};
    if (asksAnything(asked) && against !== undefined) {
      throw new UsageError(
        '--task and --written compare plans of --model with its own full cache: leave --against out.',
      );
    }
    const text = await readNamedText(args.text);
    const signal = interruptSignal();
    const options = {plans, text, tokens, chunk, backend, signal, certifies, asked};
    const ofModel = {model, backend, threads, weights, activations, profile};
    const report = await loadAndMeasure(ofModel, against, options);
    const files = out === undefined ? [] : await writeReport(report, out);
    if (page !== undefined) {
      await writeFiles(dirname(page), {[basename(page)]: await reportPage(report)});
      files.push(page);
    }
    if (json) {
      printJson(report);
      return;
    }
    print(reportTable(report, {chosen}));
    printAsked(report);
    for (const certificate of report.certificates ?? []) print(`\n${certificateText(certificate)}`);
    printWritten(files);
  },
});

interface EvalOptions extends MeasureOptions {
  readonly certifies: boolean;
  readonly asked: AskOptions;
}

async function loadAndMeasure(
  model: ModelArgs,
  other: string | undefined,
  {certifies, asked, ...options}: EvalOptions,
): Promise<EvaluationReport> {
  const {backend, plans, signal} = options;
  const loaded = await loadForCommand(model, signal);
  try {
    if (other === undefined) {
      const answered = await ask(loaded, plans, asked, options); // first: it refuses at once what does not fit
      const report = await measure(loaded, options);
      return {
        ...report,
        ...answered,
        ...(certifies && {certificates: await certificatesOf(loaded, plans, options)}),
      };
    }
    const against = await loadForCommand({model: other, backend, threads: model.threads}, signal);
    try {
      return await measure(loaded, {...options, against});
    } finally {
      against.dispose();
    }
  } finally {
    loaded.dispose();
  }
}

/**
 * Writes report.json, chart.svg and the answers to tasks into a folder, which is created if it does not exist.
 * @returns the paths of the files.
 * @throws TransferError if the disk fails; BackendError if the packages that draw charts are not installed.
 */
async function writeReport(report: EvaluationReport, folder: string): Promise<string[]> {
  return writeFiles(folder, {
    'report.json': jsonFile(report),
    'chart.svg': await chartSvg(report),
    ...(report.tasks && predictionFiles(report.tasks)),
  });
}
