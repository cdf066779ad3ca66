import {monitor} from '../evaluate/index.js';
import {type NamedMonitorReport, bytesChart, errorChart, rankChart} from '../report/monitor_charts.js';
import {certificateText} from '../report/certificate_table.js';
import {monitorColumnNames, monitorTable} from '../report/monitor_table.js';
import {expectCharts} from '../report/svg.js';
import {columns, text, withDefault} from './support/arguments.js';
import {certificatesOf, certifyArg} from './support/certificates.js';
import {command} from './support/command.js';
import {jsonFile, writeFiles} from './support/files.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs, profileArg} from './support/load.js';
import {ranOn} from './support/measure.js';
import {planArg, readPlan} from './support/plans.js';
import {print, printJson, printWritten} from './support/print.js';
import {withBar} from './support/progress.js';
import {ask, printAsked, readTasks, taskArgs} from './support/tasks.js';
import {readNamedText, textArgs} from './support/text_args.js';

export const monitorCommand = command({
  name: 'monitor',
  description:
    'Measure what a plan does at each depth: bytes, ranks, entropies, errors, blocks encoded, SVD updates, evictions',
  args: {
    ...modelArgs,
    profile: profileArg,
    ...textArgs(),
    plan: withDefault(planArg(), 'quantized'),
    certify: certifyArg,
    ...taskArgs,
    columns: columns(monitorColumnNames),
    out: text(
      'Write monitor.json and the charts errors.svg, bytes.svg and ranks.svg into this folder',
      'FOLDER',
    ),
  },
  examples: [
    'eigenkv monitor --plan quantized:bits=4',
    'eigenkv monitor --plan memory --out reports',
    'eigenkv monitor --plan 0.1x --certify',
    'eigenkv monitor --plan sliding:window=60 --task copy --context 500',
    'eigenkv monitor --model SmolLM2-135M.gguf --text book.txt --plan plan.json --json',
  ],
  async run({out, columns: chosen, certify: certifies, json, backend, tokens, chunk, ...args}) {
    const asked = {...args, tasks: await readTasks(args.task)};
    const plan = await readPlan(args.plan);
    if (out !== undefined) await expectCharts();
    const text = await readNamedText(args.text);
    const signal = interruptSignal();
    const loaded = await loadForCommand({...args, backend}, signal);
    const measured = async () => ({
      ...(await ask(loaded, [plan], asked, {text, chunk, signal})), // first: it refuses at once what does not fit
      ...(await withBar('Monitoring', onProgress =>
        monitor(loaded, text.content, {plan, tokens, chunk, signal, onProgress}),
      )),
      ...(certifies && {certificates: await certificatesOf(loaded, [plan], {text, tokens, chunk, signal})}),
    });
    const found = await measured().finally(() => loaded.dispose());
    const report = {model: loaded.name, text: text.name, ...ranOn(backend), ...found};
    const files = out === undefined ? [] : await writeFiles(out, await filesOf(report));
    if (json) {
      printJson(withoutSpectra(report));
      return;
    }
    print(monitorTable(report, {chosen}));
    printAsked(report);
    for (const certificate of report.certificates ?? []) print(`\n${certificateText(certificate)}`);
    printWritten(files);
  },
});

async function filesOf(report: NamedMonitorReport): Promise<Record<string, string>> {
  return {
    'monitor.json': jsonFile(withoutSpectra(report)),
    'errors.svg': await errorChart(report),
    'bytes.svg': await bytesChart(report),
    'ranks.svg': await rankChart(report),
  };
}

/** Leaves out the thousands of singular values, which programs get from `monitor`. */
function withoutSpectra({ranks, ...report}: NamedMonitorReport) {
  return {...report, ranks: ranks.map(({singularValues: _, ...rank}) => rank)};
}
