import {KVCache} from '../../cache/kv_cache.js';
import {quantized} from '../../cache/policies/quantized.js';
import {type LoadedModel, generate} from '../../models/index.js';
import {policyLabel} from '../evaluate/index.js';
import {columnsArg, readColumns} from './support/columns_arg.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {evaluateModel} from './support/evaluate_model.js';
import {GenerationRun} from './support/generation_run.js';
import {interruptSignal} from './support/interrupt.js';
import {loadForCommand, modelArgs} from './support/load.js';
import {print, printJson, printNote, printWritten} from './support/print.js';
import {reportColumnNames, reportTable} from '../report/report_table.js';
import {streamText} from './support/stream_text.js';
import {chartInstallation, hasCharts} from '../report/svg.js';
import {writeReport} from './support/write_report.js';

const prompt = 'It was a fine morning, and Elizabeth';

/** A context of the embedded model: some seconds. */
const tokens = 1024;

/** Of the paragraph. */
const policy = quantized({bits: 8});

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
      ...columnsArg(reportColumnNames),
      ...jsonArg,
      ...commonArgs,
    },
    async run({args: {backend, out, json = false}, rawArgs}) {
      const chosen = readColumns(rawArgs, reportColumnNames);
      const signal = interruptSignal();
      const loaded = await loadForCommand({backend}, signal);
      try {
        const policies = [policy, quantized({bits: 4}), quantized({bits: 2})];
        const report = await evaluateModel(loaded, {policies, tokens, step: 64, backend, signal});
        if (!json) print(reportTable(report, {chosen}));
        const hasChart = await hasCharts();
        const files = await writeReport(report, out, hasChart);
        if (!json) {
          printWritten(files);
          if (!hasChart) print(`For its chart: ${chartInstallation}`);
          print('\nGenerated through a cache of 8-bit keys and values:\n');
        }
        const generation = await generateText(loaded, {shows: !json, signal});
        if (json) printJson({...report, files, generation});
      } finally {
        loaded.dispose();
      }
    },
  },
  ['npm start', 'eigenkv demo --out reports'],
);

/** A paragraph, printed as it comes where `shows`, and what it took. */
async function generateText(
  loaded: LoadedModel,
  {shows, signal}: {readonly shows: boolean; readonly signal: AbortSignal},
) {
  const sampling = {tokens: 160, temperature: 0.8, topP: 0.95, seed: 1};
  const promptTokens = loaded.tokenizer.encode(prompt).length;
  const cache = new KVCache(loaded.model, policy, {expectedTokens: promptTokens + sampling.tokens});
  const run = new GenerationRun(cache, promptTokens);
  try {
    const written = generate(loaded, prompt, {...sampling, cache, signal});
    const text = await streamText(run.watch(written), {prompt, shows});
    if (shows) printNote(run.summaryLine());
    return {prompt, policy: policyLabel(policy), text, ...run.summary()};
  } finally {
    cache.dispose();
  }
}
