/**
 * `npm run bench -- [options]`: what the kernels take, side by side with plain tfjs ops, one thread, medians.
 *
 *     --only prefill,decode,append,model   parts; default: the first three
 *     --tokens 1024,8192,32768             lengths
 *     --rounds 8                           turns that each of the compared has
 *     --backend wasm                       or cpu
 *     --model FILE.gguf                    for `model`: a path or a hub id
 *     --peers FOLDER                       for `model`: where node-llama-cpp is installed
 *     --json FILE, --svg FILE              writes the rows; draws decoding
 */
import {writeFile} from 'node:fs/promises';
import {parseArgs} from 'node:util';
import {useBackend} from '../ops/backends/use_backend.js';
import {appendRows} from './append.js';
import {decodeRows, modelShapes} from './decode.js';
import {modelRows} from './model.js';
import {llamaRows} from './peers.js';
import {prefillRows} from './prefill.js';
import {decodeChart} from './support/chart.js';
import {lineOf, type Row} from './support/row.js';

const {values: options} = parseArgs({
  options: {
    only: {type: 'string', default: 'prefill,decode,append'},
    tokens: {type: 'string', default: '1024,2048,4096,8192,16384,32768'},
    rounds: {type: 'string', default: '8'},
    backend: {type: 'string', default: 'wasm'},
    model: {type: 'string'},
    peers: {type: 'string'},
    json: {type: 'string'},
    svg: {type: 'string'},
  },
});
const parts = options.only.split(',');
const lengths = options.tokens.split(',').map(Number);
const rounds = Number(options.rounds);
const rows: Row[] = [];

function report(more: Row[] | string): void {
  if (typeof more === 'string') {
    console.log(more);
    return;
  }
  rows.push(...more);
  for (const row of more) console.log(lineOf(row));
}

if (options.backend !== 'wasm' && options.backend !== 'cpu') {
  throw new Error(`--backend ${options.backend}: expected wasm or cpu (WebGPU has a bench of its own).`);
}
await useBackend(options.backend);
if (parts.includes('prefill')) {
  // beyond 4,096 tokens a prompt comes in chunks
  for (const tokens of lengths.filter(length => length <= 4096)) {
    report(await prefillRows({heads: 8, kvHeads: 8, dim: 64}, tokens, Math.min(rounds, 5)));
  }
}
if (parts.includes('decode')) {
  for (const shape of modelShapes) {
    for (const tokens of lengths) {
      // all codecs together take three times what dense takes: a gigabyte of that, where WebAssembly has four
      const denseBytes = 8 * shape.kvHeads * shape.dim * tokens;
      const depths = Math.min(shape.depths, Math.floor(2 ** 30 / denseBytes));
      if (depths > 0) report(await decodeRows({...shape, depths}, tokens, rounds));
    }
  }
}
if (parts.includes('append')) report(await appendRows([1024, 32768], rounds));
if (parts.includes('model')) {
  const {model, peers} = options;
  if (model === undefined) report('No --model: whole models are left out.');
  else {
    for (const tokens of lengths) {
      report(await modelRows(model, tokens, rounds));
      report(
        peers === undefined
          ? 'No --peers: llama.cpp is left out.'
          : await llamaRows(peers, model, tokens, rounds),
      );
    }
  }
}
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(rows, null, 2)}\n`);
if (options.svg !== undefined) await writeFile(options.svg, await decodeChart(rows));
