/**
 * `npm run bench -- [options]`: what the kernels take, side by side with plain tfjs ops, one thread, medians.
 *
 *     --only prefill,decode,append,model   parts; default: the first three
 *     --tokens 1024,8192,32768             lengths
 *     --shapes SmolLM2,Llama-7B            attention of which models, for prefill and decode; default: both
 *     --rounds 8                           turns that each of the compared has
 *     --backend wasm                       or cpu, or tensorflow if it is installed (docs/backends/tensorflow.md)
 *     --model FILE.gguf                    for `model`: a path or a hub id
 *     --peers FOLDER                       for `model`: the folder in which the peers are installed (docs/PEERS.md)
 *     --weights asStored,float32           for `model`: how its weights are stored, `:int8` behind for 8-bit activations
 *     --gguf FILE,FILE                     for llama.cpp: the same model in other types of weights; default: --model
 *     --wllama FILE                        for wllama: the same model
 *     --onnx FILE,FILE                     for onnxruntime: the same model as graphs (bench/peers/onnx_decoder.py)
 *     --keep FOLDER                        for `model`: keeps the filled caches there, for the next run
 *     --wait                               for `model`: times once a line comes on standard input, not before
 *     --json FILE, --svg FILE              writes the rows; draws decoding
 *     --record                             appends the rows to bench/history (then `npm run docs:tables`)
 */
import {once} from 'node:events';
import {mkdir, writeFile} from 'node:fs/promises';
import {parseArgs} from 'node:util';
import {hasRelaxedSimd} from '../ops/backends/relaxed_simd.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {appendRows} from './append.js';
import {decodeRows, modelShapes} from './decode.js';
import {type Engine, type OpenedModel, modelRows, openModel, storedWeights} from './model.js';
import {openLlama} from './peers/llama_cpp.js';
import {openOnnx} from './peers/onnxruntime.js';
import {openWllama} from './peers/wllama.js';
import {prefillRows} from './prefill.js';
import {decodeChart} from './support/chart.js';
import {record} from './support/history.js';
import {lineOf, runsOfRows, type Row} from './support/row.js';

const {values: options} = parseArgs({
  options: {
    only: {type: 'string', default: 'prefill,decode,append'},
    tokens: {type: 'string', default: '1024,2048,4096,8192,16384,32768'},
    shapes: {type: 'string', default: modelShapes.map(({name}) => name).join(',')},
    rounds: {type: 'string', default: '8'},
    backend: {type: 'string', default: 'wasm'},
    model: {type: 'string'},
    peers: {type: 'string'},
    weights: {type: 'string', default: 'asStored'},
    gguf: {type: 'string'},
    wllama: {type: 'string'},
    onnx: {type: 'string'},
    keep: {type: 'string'},
    wait: {type: 'boolean', default: false},
    json: {type: 'string'},
    svg: {type: 'string'},
    record: {type: 'boolean', default: false},
  },
});
const parts = options.only.split(',');
const lengths = options.tokens.split(',').map(Number);
const shapes = modelShapes.filter(({name}) => options.shapes.split(',').includes(name));
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

const backend = (['wasm', 'cpu', 'tensorflow'] as const).find(name => name === options.backend);
if (backend === undefined) {
  throw new Error(
    `--backend ${options.backend}: expected wasm, cpu or tensorflow (WebGPU has a bench of its own).`,
  );
}
await useBackend(backend);
if (backend === 'wasm') report(`Kernels for ${hasRelaxedSimd() ? 'relaxed' : 'plain'} SIMD.`);
if (parts.includes('prefill')) {
  // beyond 4,096 tokens a prompt comes in chunks
  for (const shape of [{name: '8 heads of 64', heads: 8, kvHeads: 8, dim: 64}, ...shapes]) {
    for (const tokens of lengths.filter(length => length <= 4096)) {
      report(await prefillRows(shape, tokens, Math.min(rounds, 5)));
    }
  }
}
if (parts.includes('decode')) {
  for (const shape of shapes) {
    for (const tokens of lengths) {
      // all codecs together take three times the memory of dense, plain ops copy it, and WebAssembly has four gigabytes
      const denseBytes = 8 * shape.kvHeads * shape.dim * tokens;
      const depths = Math.min(shape.depths, Math.floor(1e9 / denseBytes));
      if (depths > 0) report(await decodeRows({...shape, depths}, tokens, rounds));
      else report(`decode ${shape.name} ${tokens}: left out, since all codecs together do not fit the heap.`);
    }
  }
}
if (parts.includes('append')) report(await appendRows([1024, 32768], rounds));
if (parts.includes('model')) {
  if (options.model === undefined) report('No --model: whole models are left out.');
  else await reportModels(options.model);
}
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(rows, null, 2)}\n`);
if (options.record) for (const run of runsOfRows(rows)) await record(run);
if (options.svg !== undefined) await writeFile(options.svg, await decodeChart(rows));

/** Whole models, and the peers that are installed. */
async function reportModels(source: string): Promise<void> {
  const engines: Engine[] = [];
  if (options.keep !== undefined) await mkdir(options.keep, {recursive: true});
  for (const [i, weights] of options.weights.split(',').entries()) {
    const {engine, ...text} = await openModel(source, storedWeights(weights), options.keep);
    engines.push(engine);
    if (i > 0) continue;
    for await (const peer of openPeers(source, text)) {
      if (typeof peer === 'string') report(peer);
      else engines.push(peer);
    }
  }
  for (const tokens of lengths) report(await modelRows(engines, tokens, rounds, filled));
  for (const each of engines) await each.dispose();
}

/** Each peer, or why it is left out. */
async function* openPeers(
  source: string,
  {ids, ...text}: Pick<OpenedModel, 'ids' | 'textOf' | 'contextLength'>,
): AsyncGenerator<Engine | string> {
  const {peers, gguf, wllama, onnx, keep} = options;
  if (peers === undefined) {
    yield 'No --peers: llama.cpp, wllama and onnxruntime are left out.';
    return;
  }
  const most = Math.max(...lengths) + 1024;
  yield await openLlama(peers, gguf?.split(',') ?? [source], ids, most, keep);
  yield wllama === undefined ? 'No --wllama: left out.' : await openWllama(peers, wllama, text);
  if (onnx === undefined) yield 'No --onnx: left out.';
  for (const file of onnx?.split(',') ?? []) yield await openOnnx(peers, file);
}

/** With --wait, holds until a line comes on standard input. */
async function filled(): Promise<void> {
  if (!options.wait) return;
  console.log('Caches are filled: a line on standard input starts the timing.');
  process.stdin.resume(); // a listener alone does not wake a stream that was paused
  await once(process.stdin, 'data');
  process.stdin.pause();
}
