import {asPlan} from '../../cache/plans/as_plan.js';
import {chartSvg} from '../report/evaluation_chart.js';
import {reportColumnNames, reportTable} from '../report/report_table.js';
import {chartInstallation, hasCharts} from '../report/svg.js';
import {taskExample} from '../report/task_example.js';
import {columns, text, withDefault} from './support/arguments.js';
import {command} from './support/command.js';
import {jsonFile, writeFiles} from './support/files.js';
import {runGeneration} from './support/generation.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {measure} from './support/measure.js';
import {print, printJson, printWritten} from './support/print.js';
import {ask, printAsked} from './support/tasks.js';
import {readNamedText} from './support/text_args.js';

const prompt = 'It was a fine morning, and Elizabeth';

/** The context of the embedded model; takes a few seconds. */
const tokens = 1024;

/** Codes, and caches that keep a quarter of the tokens. */
const plans = [
  ...['quantized:bits=8', 'quantized:bits=4', 'quantized:bits=3'],
  ...['h2o:heavyBudget=124,recentBudget=128', 'sliding:window=252'],
];

/** What perplexity hides: two contexts with eight passwords each, all asked for. */
const asked = {tasks: ['multiKey'], questions: 16, context: undefined, written: undefined, seed: 1};

export const demo = command({
  name: 'demo',
  description:
    'Measure what codes and eviction cost the small model that comes with eigenkv, ask what they forget, and let it write',
  args: {
    backend: modelArgs.backend,
    threads: modelArgs.threads,
    out: withDefault(text('Write report.json and chart.svg into this folder', 'FOLDER'), 'reports'),
    columns: columns(reportColumnNames),
  },
  examples: ['npm start', 'eigenkv demo --out reports'],
  async run({backend, threads, out, json, columns: chosen}) {
    const signal = interruptSignal();
    const loaded = await loadForCommand({backend, threads}, signal);
    const compared = plans.map(plan => asPlan(plan));
    try {
      const text = await readNamedText(undefined);
      const options = {plans: compared, text, tokens, chunk: 64, backend, signal};
      const report = {
        ...(await measure(loaded, options)),
        ...(await ask(loaded, compared, asked, options)),
      };
      if (!json) {
        print(reportTable(report, {chosen}));
        printAsked(report);
        const example = report.tasks && taskExample(report.tasks);
        if (example) print(`\n${example}`);
      }
      const hasChart = await hasCharts();
      const files = await writeFiles(out, {
        'report.json': jsonFile(report),
        ...(hasChart && {'chart.svg': await chartSvg(report)}),
      });
      if (!json) {
        printWritten(files);
        if (!hasChart) print(`For its chart: ${chartInstallation}`);
        print('\nGenerated through a cache of 8-bit keys and values:\n');
      }
      const generation = await runGeneration(loaded, prompt, {
        ...{plan: compared[0]!, tokens: 160, temperature: 0.8, topP: 0.95, seed: 1},
        ...{shows: !json, echoes: true, signal},
      });
      if (json) printJson({...report, files, generation});
    } finally {
      loaded.dispose();
    }
  },
});
