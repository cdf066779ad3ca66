/**
 * Attention on a GPU, in every stored encoding, and tokens of a whole model:
 * `npm run bench:webgpu [-- --tokens 2048,8192 --features subgroups,shader-f16 --model FILE --json FILE --chromium --adapter]`.
 *
 * Decoding (one query token of each head) and prefill (causal, up to 4,096 tokens) over 2k to 32k tokens, in the shapes of
 * SmolLM2 (9 query heads on 3 key heads of 64) and of Llama-7B (32 heads of 128). Baselines are tfjs' own webgpu ops on
 * dense keys and values (two products and a softmax) and what a copy moves a second. Each time is that of a queue of runs,
 * waited for once, divided by their number; the median of five such queues, in which the codecs take turns. Then the
 * milliseconds and the commands of a token of the bundled model, and of `--model`.
 *
 * In Node, which needs npm's `webgpu` (docs/backends/webgpu.md), or attention alone in headless Chromium (`--chromium`), on its GPU,
 * or its software adapter where CHROMIUM_SOFTWARE is set. `--features` are those that `useBackend` asks for, by default none; `--adapter`
 * prints the adapter only.
 */
import {writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {useBackend} from '../ops/backends/use_backend.js';
import type {WebgpuFeature} from '../ops/backends/webgpu_features.js';
import {adapterOf, attentionReport, type Report} from './support/webgpu_report.js';
import {tokenRows} from './support/webgpu_tokens.js';

const {values} = parseArgs({
  options: {
    tokens: {type: 'string', default: '2048,8192,32768'},
    features: {type: 'string', default: ''},
    model: {type: 'string', multiple: true, default: []},
    json: {type: 'string'},
    chromium: {type: 'boolean', default: false},
    adapter: {type: 'boolean', default: false},
  },
});
const lengths = values.tokens.split(',').map(Number);
const features = values.features.split(',').filter(name => name !== '') as WebgpuFeature[]; // useBackend checks them
const say = (line: string): void => console.log(line);

function write(report: Report): void {
  // after each part, so that a run that is cut short leaves what it has
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}

if (values.chromium) {
  const {benchInChromium} = await import('./support/webgpu_chromium.js');
  write({...(await benchInChromium(lengths, features, say)), tokens: []});
} else {
  await useBackend('webgpu', {features});
  if (values.adapter) say(JSON.stringify(await adapterOf()));
  else {
    const bundled = fileURLToPath(new URL('../models/embedded', import.meta.url));
    const report = await attentionReport(lengths, say, known => write({...known, tokens: []}));
    const tokens = await tokenRows(bundled, 512, say);
    write({...report, tokens});
    for (const model of values.model) tokens.push(...(await tokenRows(model, 512, say)));
    write({...report, tokens});
  }
}
