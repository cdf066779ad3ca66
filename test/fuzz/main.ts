/**
 * Files of strangers, many of them: `npm run fuzz -- [--count 20000] [--seed N] [--readers gguf,plan]`.
 *
 * COUNT damaged inputs for each reader (test/fuzz/readers.ts). Fails at the first that crashes, throws an error of no type,
 * takes more than a second of processor time, or more memory than twice its bytes and 16 MiB. Runs with a young generation
 * that is not collected before 128 MiB were allocated, so that what is measured is what was allocated.
 */
import {randomInt} from 'node:crypto';
import {parseArgs} from 'node:util';
import {Worker} from 'node:worker_threads';
import {fuzz} from './harness.js';
import {readers} from './readers.js';
import {savedChatReader, templateReader} from './chat_files.js';
import {snapshotReader} from './snapshot_files.js';

/** Seconds of the clock after which an input counts as endless; others may have the processor meanwhile. */
const endlessSeconds = 60;

/** Prints the input and ends the process where `beat[0]` stands still: what never ends cannot be interrupted from within. */
const watchdog = `
  const {workerData: {beat, input, seconds}} = require('node:worker_threads');
  const {writeSync} = require('node:fs');
  let last = -1;
  setInterval(() => {
    if (beat[1] === 1 && beat[0] === last) {
      writeSync(2, 'Endless: ' + Buffer.from(input.subarray(0, beat[2])).toString('base64') + '\\n');
      process.kill(process.pid, 'SIGKILL');
    }
    last = beat[0];
  }, 1000 * seconds);
`;

async function main(): Promise<void> {
  const {values} = parseArgs({
    options: {
      count: {type: 'string', default: '20000'},
      seed: {type: 'string', default: String(randomInt(2 ** 31))},
      readers: {type: 'string'},
    },
  });
  const [count, seed] = [Number(values.count), Number(values.seed)];
  const named = values.readers?.split(',');
  const beat = new Int32Array(new SharedArrayBuffer(12));
  const input = new Uint8Array(new SharedArrayBuffer(1 << 20));
  const workerData = {beat, input, seconds: endlessSeconds};
  const worker = new Worker(watchdog, {eval: true, execArgv: [], workerData});
  let total = 0;
  for (const reader of [...readers, templateReader, await snapshotReader(), await savedChatReader()]) {
    if (named !== undefined && !named.includes(reader.name)) continue;
    const start = performance.now();
    try {
      beat[1] = 1;
      const tally = await fuzz(reader, count, seed, bytes => {
        beat[0]!++;
        beat[2] = Math.min(bytes.length, input.length);
        input.set(bytes.subarray(0, input.length));
      });
      total += tally.inputs;
      console.log(
        `${reader.name} (seed ${seed}, ${((performance.now() - start) / 1000).toFixed(0)} s): ${tally.toString()}`,
      );
    } catch (error) {
      console.error(`${reader.name}:`, error);
      process.exitCode = 1;
    }
    beat[1] = 0;
  }
  console.log(`${total} inputs in all, seed ${seed}`);
  await worker.terminate();
}

await main();
