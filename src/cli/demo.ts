import {asPlan} from '../../cache/plans/as_plan.js';
import {quantized} from '../../cache/policies/quantized.js';
import {reportColumnNames, reportTable} from '../report/report_table.js';
import {chartInstallation, hasCharts} from '../report/svg.js';
import {writeReport} from './eval.js';
import {columns, text, withDefault} from './support/arguments.js';
import {command} from './support/command.js';
import {runGeneration} from './support/generation.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {measure} from './support/measure.js';
import {print, printJson, printWritten} from './support/print.js';
import {readNamedText} from './support/text_args.js';

const prompt = 'It was a fine morning, and Elizabeth';

/** The context of the embedded model; takes a few seconds. */
const tokens = 1024;

export const demo = command({
  name: 'demo',
  description: 'Evaluate, chart and generate with the small model that comes with eigenkv',
  args: {
    backend: modelArgs.backend,
    out: withDefault(text('Write report.json and chart.svg into this folder', 'FOLDER'), 'reports'),
    columns: columns(reportColumnNames),
  },
  examples: ['npm start', 'eigenkv demo --out reports'],
  async run({backend, out, json, columns: chosen}) {
    const signal = interruptSignal();
    const loaded = await loadForCommand({backend}, signal);
    const [plan, ...others] = ([8, 4, 3] as const).map(bits => asPlan(quantized({bits})));
    try {
      const text = await readNamedText(undefined);
      const report = await measure(loaded, {
        ...{plans: [plan!, ...others], text, tokens, chunk: 64},
        ...{backend, signal},
      });
      if (!json) print(reportTable(report, {chosen}));
      const hasChart = await hasCharts();
      const files = await writeReport(report, out, hasChart);
      if (!json) {
        printWritten(files);
        if (!hasChart) print(`For its chart: ${chartInstallation}`);
        print('\nGenerated through a cache of 8-bit keys and values:\n');
      }
      const generation = await runGeneration(loaded, prompt, {
        ...{plan: plan!, tokens: 160, temperature: 0.8, topP: 0.95, seed: 1},
        ...{shows: !json, echoes: true, signal},
      });
      if (json) printJson({...report, files, generation});
    } finally {
      loaded.dispose();
    }
  },
});
