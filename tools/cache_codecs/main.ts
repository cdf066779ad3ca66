/**
 * Measures published codecs of caches by the protocol of `eigenkv eval`, and puts them beside eigenkv's own plans: see README.md.
 *
 *     npx tsx tools/cache_codecs/main.ts measure --model FILE.gguf --text FILE [--tokens 4096] [--chunk 64] [--only KIVI] > field.json
 *     npx tsx tools/cache_codecs/main.ts record field.json eval.json
 */
import {spawn} from 'node:child_process';
import {readFile} from 'node:fs/promises';
import {basename} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import {record} from '../../bench/support/history.js';
import {textIds} from '../../models/model_like.js';
import {tokenizerFromGguf} from '../../models/tokenizer/index.js';
import {type Report, runOfReports} from './report.js';

const commands: Readonly<Record<string, (args: string[]) => Promise<void>>> = {
  measure,
  record: recordReports,
};
const [name = '', ...rest] = process.argv.slice(2);
const command = commands[name];
if (command === undefined)
  throw new Error(`Unknown command "${name}": expected ${Object.keys(commands).join(' or ')}.`);
await command(rest);

/** Prints a report as `eigenkv eval --json` does, with a row for each codec. */
async function measure(args: string[]): Promise<void> {
  const option = {type: 'string'} as const;
  const {values} = parseArgs({
    args,
    options: {
      ...{
        model: option,
        text: option,
        only: {...option, default: ''},
        python: {...option, default: 'python3'},
      },
      ...{tokens: {...option, default: '4096'}, chunk: {...option, default: '64'}},
    },
  });
  const {model, text, tokens, chunk, only, python} = values;
  if (model === undefined || text === undefined)
    throw new Error('measure needs --model FILE.gguf and --text FILE.');
  const ids = (await idsOfFile(model, text)).slice(0, Number(tokens));
  const script = fileURLToPath(new URL('measure.py', import.meta.url));
  const lines = await outputOf(
    python,
    [script, '--model', model, '--chunk', chunk, '--only', only],
    JSON.stringify(ids),
  );
  const rows = lines
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Report['rows'][number]);
  const report: Report = {
    model: basename(model),
    text: basename(text),
    tokens: ids.length,
    chunk: Number(chunk),
    rows,
  };
  console.log(JSON.stringify(report, undefined, 1));
}

/** The ids of a text by the tokenizer of the model's file, as `eigenkv eval` reads it. */
async function idsOfFile(model: string, text: string): Promise<number[]> {
  const file = await openTensorPath(model);
  try {
    return textIds(tokenizerFromGguf(file.metadata), await readFile(text), text);
  } finally {
    await file.close();
  }
}

/** Runs a command with one thread for its products and gives what it printed; what it says of its progress is shown. */
function outputOf(program: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = {...process.env, OPENBLAS_NUM_THREADS: '1', MKL_NUM_THREADS: '1', OMP_NUM_THREADS: '1'};
    const child = spawn(program, args, {stdio: ['pipe', 'pipe', 'inherit'], env});
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (output += part));
    child.on('error', reject);
    child.on('close', code =>
      code === 0 ? resolve(output) : reject(new Error(`${program} ended with code ${code}.`)),
    );
    child.stdin.end(input);
  });
}

/** Appends one run to bench/history/cache_codecs.jsonl: the rows of the field, and of `eigenkv eval` over the same text. */
async function recordReports(files: string[]): Promise<void> {
  const reports = await Promise.all(
    files.map(async file => JSON.parse(await readFile(file, 'utf8')) as Report),
  );
  const run = runOfReports(reports);
  await record({what: 'cache_codecs', ...run});
  console.log(`bench/history/cache_codecs.jsonl: ${run.figures.length} rows of ${run.subject}`);
}
