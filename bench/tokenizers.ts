/**
 * `npx tsx bench/tokenizers.ts [--rounds 5] FOLDER|FILE.gguf ...`: what opening a vocabulary takes, here and in @huggingface/tokenizers, which
 * gets the same tokenizer.json. A folder holds tokenizer.json and tokenizer_config.json; the library gets what a GGUF file's vocabulary
 * becomes. Both take turns in one process; medians of CPU time, which other processes disturb less. The JSON is parsed and the header of
 * the GGUF file read before.
 */
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {parseJsonText} from '../base/files/json_text.js';
import {openTensorPath} from '../base/files/open_tensor_file.js';
import {median} from '../base/statistics.js';
import {type Tokenizer, tokenizerFromGguf, tokenizerFromJson} from '../models/tokenizer/index.js';
import {library} from '../models/tokenizer/library.js';

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {rounds: {type: 'string', default: '5'}},
});
if (positionals.length === 0) throw new Error('Give folders with a tokenizer.json, or .gguf files.');
const silent = () => undefined;

for (const path of positionals) {
  const {open, json, config} = await read(path);
  const times: {own: number[]; library: number[]} = {own: [], library: []};
  for (let round = 0; round <= Number(values.rounds); round++) {
    const own = cpuMs(open);
    const other = cpuMs(() => new library.Tokenizer(json, config));
    if (round === 0) continue; // to compile
    times.own.push(own);
    times.library.push(other);
  }
  const [own, other] = [median(times.own), median(times.library)];
  console.log(
    `${path}: ${own.toFixed(0)} ms, the library ${other.toFixed(0)} ms: ${(own / other).toFixed(2)} times as long`,
  );
}

async function read(path: string): Promise<{open: () => Tokenizer; json: object; config: object}> {
  if (path.endsWith('.gguf')) {
    const {metadata, close} = await openTensorPath(path);
    await close();
    const open = () => tokenizerFromGguf(metadata, silent);
    return {open, json: open().json!, config: {}};
  }
  const parsed = async (name: string) => parseJsonText(await readFile(join(path, name)), name) as object;
  const [json, config] = [await parsed('tokenizer.json'), await parsed('tokenizer_config.json')];
  return {open: () => tokenizerFromJson(json, config, {}, silent), json, config};
}

function cpuMs(run: () => unknown): number {
  const before = process.cpuUsage();
  run();
  const {user, system} = process.cpuUsage(before);
  return (user + system) / 1000;
}
