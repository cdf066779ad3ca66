import {KVCache} from '../../cache/kv_cache.js';
import {quantized} from '../../cache/policies/quantized.js';
import {generate} from '../../models/index.js';
import {command, commonArgs} from './support/command.js';
import {evaluateModel} from './support/evaluate_model.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {print} from './support/print.js';
import {reportTable} from './support/report_table.js';
import {chartInstallation, hasCharts} from './support/svg.js';
import {writeReport} from './support/write_report.js';

const prompt = 'It was a fine morning, and Elizabeth';

/** A context of the embedded model: some seconds. */
const tokens = 1024;

export const demo = command(
  {
    meta: {name: 'demo', description: 'Evaluate, chart and generate with the small model that comes along'},
    args: {
      backend: modelArgs.backend,
      out: {
        type: 'string',
        description: 'Write report.json and chart.svg into this folder',
        default: 'reports',
        valueHint: 'FOLDER',
      },
      ...commonArgs,
    },
    async run({args: {backend, out}}) {
      const signal = interruptSignal();
      const loaded = await loadForCommand({backend}, signal);
      const {model, tokenizer, config} = loaded;
      const policy = quantized({bits: 8});
      try {
        const policies = [policy, quantized({bits: 4}), quantized({bits: 2})];
        const report = await evaluateModel(loaded, {policies, tokens, step: 64, backend, signal});
        print(reportTable(report));
        const chart = await hasCharts();
        for (const file of await writeReport(report, out, chart)) print(`Wrote ${file}`);
        if (!chart) print(`For its chart: ${chartInstallation}`);

        print('\nGenerated through a cache of 8-bit keys and values:\n');
        process.stdout.write(prompt);
        const cache = new KVCache(model, policy);
        const sampling = {maxTokens: 160, temperature: 0.8, topP: 0.95, seed: 1};
        try {
          const options = {...sampling, cache, contextLength: config.contextLength, signal};
          for await (const text of generate(model, tokenizer, prompt, options)) process.stdout.write(text);
        } finally {
          cache.dispose();
        }
        print('');
      } finally {
        loaded.dispose();
      }
    },
  },
  ['npm start', 'eigenkv demo --out reports'],
);
