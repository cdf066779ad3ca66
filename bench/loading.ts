/**
 * `npx tsx bench/loading.ts [options] FILE.gguf ...`: what loading a model takes and running it: time to open, resident memory, the wasm
 * heap, then the time per token. Each load has a process of its own. bench/random_model.ts writes models of any size.
 *
 *     --weights asStored,float32   how weights are stored, one load for each; default: that of loadModel
 *     --prompt 64                  tokens of the prompt
 *     --tokens 32                  tokens to generate
 *     --json                       prints one line of JSON for each load instead
 *     --record                     appends the rows to bench/history (then `npm run docs:tables`)
 *     --here                       loads the one file in this process, and prints its JSON
 */
import {execFile} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {parseArgs, promisify} from 'node:util';
import {byteSize} from '../base/units.js';
import {weightSettings} from '../models/formats/weight_formats.js';
import {type Figure, record} from './support/history.js';
import {type LoadFigures, loadOnce} from './support/load_once.js';

const {values: options, positionals: files} = parseArgs({
  allowPositionals: true,
  options: {
    weights: {type: 'string'},
    prompt: {type: 'string', default: '64'},
    tokens: {type: 'string', default: '32'},
    json: {type: 'boolean', default: false},
    record: {type: 'boolean', default: false},
    here: {type: 'boolean', default: false},
  },
});
if (files.length === 0) throw new Error('Give one or several .gguf files.');
const settings = options.weights?.split(',') ?? [undefined];

if (options.here) {
  const weights = weightSettings.find(name => name === options.weights);
  const {prompt, tokens} = options;
  const figures = await loadOnce({path: files[0]!, weights, prompt: Number(prompt), tokens: Number(tokens)});
  console.log(JSON.stringify(figures));
} else {
  const rows: LoadFigures[] = [];
  for (const file of files) {
    for (const weights of settings) {
      const row = await loadInChild(file, weights);
      rows.push(row);
      console.log(options.json ? JSON.stringify(row) : lineOf(row));
    }
  }
  if (options.record) {
    await record({what: 'loading', subject: 'Models on wasm, one thread', figures: rows.map(figureOf)});
  }
}

async function loadInChild(file: string, weights: string | undefined): Promise<LoadFigures> {
  if (weights !== undefined && !weightSettings.some(name => name === weights)) {
    throw new Error(`--weights ${weights}: expected one of ${weightSettings.join(', ')}.`);
  }
  const chosen = weights === undefined ? [] : ['--weights', weights];
  const {stdout} = await promisify(execFile)(process.execPath, [
    ...['--import', 'tsx', fileURLToPath(import.meta.url), '--here', file, ...chosen],
    ...['--prompt', options.prompt, '--tokens', options.tokens],
  ]);
  const line = stdout.trimEnd().split('\n').at(-1)!;
  return JSON.parse(line) as LoadFigures;
}

function lineOf(row: LoadFigures): string {
  return (
    `${row.model}, ${row.weights}: file ${byteSize(row.fileBytes)}, weights ${byteSize(row.weightBytes)}; opened in ` +
    `${(row.openMs / 1000).toFixed(1)} s; resident ${byteSize(row.before)} before, ${byteSize(row.peakLoading)} at most, ` +
    `${byteSize(row.loaded)} after; heap ${byteSize(row.heapLoaded)}\n  prompt ${row.promptMs.toFixed(0)} ms, ` +
    `${row.msPerToken.toFixed(1)} ms per token; resident ${byteSize(row.peak)} at most, ${byteSize(row.after)} after; heap ` +
    byteSize(row.heapAfter)
  );
}

/** Megabytes and times, to as many digits as repeated runs agree on. */
function figureOf({model, weights, openMs, promptMs, msPerToken, ...bytes}: LoadFigures): Figure {
  const megabytes = Object.entries(bytes).map(
    ([key, value]) => [`${key.replace(/Bytes$/, '')}Megabytes`, Math.round(value / 1e6)] as const,
  );
  return {
    ...{model, weights, openSeconds: Number((openMs / 1000).toPrecision(2))},
    ...Object.fromEntries(megabytes),
    ...{promptMs: Math.round(promptMs), msPerToken: Number(msPerToken.toPrecision(3))},
  };
}
