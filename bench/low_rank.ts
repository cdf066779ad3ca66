/**
 * What compressed attention costs:
 *
 *     npx tsx bench/low_rank.ts CALIBRATION [--model M] [--text T] [--sample S] [--tokens 2048] [--ratios 0.8,0.6,0.4,0.25] [--settings REGEXP]
 *
 * Every method at every ratio, ranks alike and water-filled, latents as float32 and those of kqSvd and fisher in 4 bits too, on the first tokens of the
 * held-out text T, against the dense model with its full cache; plain integer codes beside. Prints Markdown. CALIBRATION is what `eigenkv
 * calibrate` wrote for that model; ranks are allotted by the first tokens of S, a text that it may know. Without a model and
 * texts: the embedded ones. The rows of a ratio go through the text side by side.
 */
import {readFile} from 'node:fs/promises';
import {parseArgs} from 'node:util';
import {full, quantized} from '../cache/index.js';
import {
  type CompressOptions,
  type CompressedModel,
  compress,
  embeddedText,
  loadCalibration,
  loadModel,
} from '../models/index.js';
import {type EvaluationRow, evaluate} from '../src/evaluate/index.js';

/** Those of fisher only if the calibration has gradients. */
const settings: readonly [name: string, options: CompressOptions][] = [
  ['svd', {method: 'svd', spread: 'uniform'}],
  ['eigen', {method: 'eigen', spread: 'uniform'}],
  ['kqSvd', {method: 'kqSvd', spread: 'uniform'}],
  ['kqSvd, water-filled', {method: 'kqSvd', spread: 'waterFilled'}],
  ['fisher', {method: 'fisher', spread: 'uniform'}],
  ['fisher, water-filled', {method: 'fisher', spread: 'waterFilled'}],
  ['fisher, water-filled, centred', {method: 'fisher', spread: 'waterFilled', center: true}],
  ['fisher, water-filled, behind the rotation', {method: 'fisher', spread: 'waterFilled', ropeMode: 'after'}],
];
/** Every token in codes but those that wait for a group of 32: the sizes of the formats themselves. */
const codes = (bits: 8 | 4 | 2) => quantized({bits, groupSize: 32});
/** Tokens that ranks are allotted by. */
const sampleTokens = 128;
const header = '| ratio | setting | latents | perplexity | KL (nats) | bytes / float32 | decode (tokens/s) |';

async function main(args: string[]) {
  const {values, positionals} = parseArgs({
    args,
    allowPositionals: true,
    options: {
      model: {type: 'string'},
      text: {type: 'string'},
      sample: {type: 'string'},
      tokens: {type: 'string', default: '2048'},
      settings: {type: 'string', default: ''},
      ratios: {type: 'string', default: '0.8,0.6,0.4,0.25'},
    },
  });
  const loaded = await loadModel(values.model);
  const calibration = await loadCalibration(positionals[0] ?? '');
  const idsOf = async (file: string | undefined, embedded: 'heldOut' | 'trainSample') =>
    loaded.tokenizer.encode(
      file === undefined ? await embeddedText(embedded) : await readFile(file, 'utf8'),
      {
        parseSpecial: false,
      },
    );
  const heldOut = await idsOf(values.text, 'heldOut');
  const sample = (await idsOf(values.sample, 'trainSample')).slice(0, sampleTokens);
  console.log(`${header}\n|${'---|'.repeat(7)}`);
  let isFirst = true;
  for (const ratio of values.ratios.split(',').map(Number)) {
    const made: [string, CompressedModel][] = [];
    for (const [name, options] of settings) {
      if (!new RegExp(values.settings).test(name)) continue;
      if (options.method === 'fisher' && calibration.gradients === undefined) continue;
      made.push([
        name,
        await compress(loaded, calibration, {
          ...options,
          ratio,
          text: options.spread === 'waterFilled' ? sample : undefined,
        }),
      ]);
    }
    const {rows} = await evaluate(loaded, heldOut, {
      tokens: Number(values.tokens),
      plans: isFirst ? [codes(8), codes(4), codes(2)] : [],
      compared: made.map(([name, {model: compressed}]) => ({
        name,
        model: compressed,
        plans: /^(kqSvd|fisher)/.test(name) ? [full(), codes(4)] : [full()],
      })),
    });
    const [dense] = rows;
    for (const [index, row] of rows.entries()) {
      if (index > 0 || isFirst)
        console.log(lineOf(row, row.plan.includes(', ') ? String(ratio) : '1', dense!));
    }
    for (const [name, {compression}] of made) {
      if (name.includes('water'))
        console.error(`${ratio}: ${compression.keyRanks.join(' ')} / ${compression.valueRanks.join(' ')}`);
    }
    for (const [, compressed] of made) compressed.dispose();
    isFirst = false;
  }
  loaded.dispose();
}

function lineOf(row: EvaluationRow, ratio: string, dense: EvaluationRow): string {
  const [name, policy] = splitLabel(row.plan);
  const change = 100 * (row.perplexity / dense.perplexity - 1);
  return (
    `| ${ratio} | ${name} | ${policy} | ${row.perplexity.toFixed(2)} (${change >= 0 ? '+' : ''}${change.toFixed(2)} %) | ` +
    `${row.klDivergence.toPrecision(3)} | ${row.ratioToFloat32.toFixed(3)} | ${row.decodeTokensPerSecond.toFixed(1)} |`
  );
}

/** `kqSvd, water-filled, quantized:bits=4` to its model and its policy. */
function splitLabel(label: string): [string, string] {
  const at = Math.max(label.lastIndexOf(', quantized'), label.lastIndexOf(', full'));
  const [name, policy] = at < 0 ? ['dense', label] : [label.slice(0, at), label.slice(at + 2)];
  return [name, policy === 'full' ? 'float32' : policy];
}

await main(process.argv.slice(2));
