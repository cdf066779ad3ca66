/**
 * Long texts through policies with a budget: `npm run bench:long_run -- [--tokens 100000] [--policies h2o,sliding]
 * [--checkpoints 20] [--seed 1] [--json FILE]`.
 *
 * The embedded model generates far beyond its context through one cache per policy (default: all that have a budget).
 * At checkpoints: bytes and tensors flat, numbers finite, budgets held, and every key and value that is held compared with
 * the one that came in, its rotation computed anew in float64. If a policy uses attention scores, a replay in float64 has every
 * score, and judges every eviction; it takes about half of the time. One line of JSON per policy; progress on stderr. Exit code 1
 * where something is not as it must be.
 */
import {appendFileSync} from 'node:fs';
import {parseArgs} from 'node:util';
import {asPolicy, makePolicy, policyNames, tokenBudget} from '../cache/index.js';
import {loadModel} from '../models/load.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {type Checkpoint, endure} from './support/endurance.js';
import {timeLeft} from './support/print_share.js';

async function main(): Promise<void> {
  const {values} = parseArgs({
    options: {
      tokens: {type: 'string', default: '20000'},
      policies: {type: 'string'},
      checkpoints: {type: 'string', default: '20'},
      seed: {type: 'string', default: '1'},
      json: {type: 'string'},
    },
  });
  const tokens = Number(values.tokens);
  const bounded = policyNames().filter(name => tokenBudget(makePolicy({name})) !== undefined);
  await useBackend('wasm');
  const {model, tokenizer, dispose} = await loadModel();
  for (const text of values.policies?.split(/,(?=[a-z]\w*(?:[:,]|$))/i) ?? bounded) {
    const report = await endure(model, {
      policy: asPolicy(text),
      tokens,
      prompt: tokenizer.encode('In the beginning'),
      checkpoints: Number(values.checkpoints),
      seed: Number(values.seed),
      onCheckpoint: checkpoint => console.error(progress(text, checkpoint, tokens)),
    });
    const line = JSON.stringify(values.json === undefined ? {...report, checkpoints: undefined} : report);
    if (values.json === undefined) console.log(line);
    else appendFileSync(values.json, `${line}\n`);
    if (report.faults.length > 0) {
      console.error(`${text}: ${report.faults.join('; ')}`);
      process.exitCode = 1;
    }
  }
  dispose();
}

function progress(
  policy: string,
  {tokens, seconds, cacheBytes, rss, drift, scores}: Checkpoint,
  total: number,
): string {
  return (
    `${policy}: ${tokens} of ${total} tokens, ${(tokens / seconds).toFixed(1)} a second, ${timeLeft({done: tokens, total}, seconds)}; ` +
    `cache ${cacheBytes} bytes, rss ${(rss / 2 ** 20).toFixed(0)} MiB; keys off by ${drift.keys.toExponential(1)}, ` +
    `values by ${drift.values} (${drift.tokens} compared)` +
    (scores
      ? `; scores off by ${scores.worst.toExponential(1)}, ${scores.evictedTokens} evictions, ${scores.closeCalls} of them close`
      : '')
  );
}

await main();
