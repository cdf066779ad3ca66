import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, readdir, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {fileStore} from '../../cache/stores/file.js';
import {crc32} from '../../base/crc32.js';
import {randomStream} from '../support/random.js';

// `npm run test:kills`: kills a process with SIGKILL while it saves, at random moments, and looks at what is left.

/** Large enough that most of the time is spent in writing and syncing. */
const snapshotBytes = 4 * 2 ** 20;

export interface Kills {
  readonly kills: number;
  /** Kills that left the snapshot of before, and kills that left the one that was being written. */
  readonly old: number;
  readonly new: number;
  /** Kills that left a file half-written beside the snapshot. */
  readonly halfWritten: number;
  /** Snapshots that were neither the old nor the new one. */
  readonly broken: number;
}

/** Bytes that say of themselves which save they are of, and whether they are whole. */
function snapshot(count: number): Uint8Array {
  const bytes = new Uint8Array(snapshotBytes).fill(count % 251);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, count);
  view.setUint32(snapshotBytes - 4, crc32(bytes.subarray(0, -4)));
  return bytes;
}

function countOf(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const whole =
    bytes.length === snapshotBytes && view.getUint32(snapshotBytes - 4) === crc32(bytes.subarray(0, -4));
  return whole ? view.getUint32(0) : undefined;
}

/** Saves again and again until it is killed, and says when a save begins and is done. */
async function saveForEver(folder: string, first: number): Promise<void> {
  const store = fileStore(folder);
  for (let count = first; ; count++) {
    const bytes = snapshot(count);
    process.stdout.write(`begins ${count}\n`);
    await store.set('chat', bytes);
    process.stdout.write(`done ${count}\n`);
  }
}

/** Kills so many processes while they save, each after a random time of up to a few saves. */
export async function killDuringSave(kills: number, seed: number): Promise<Kills> {
  const random = randomStream(seed);
  const folder = await mkdtemp(join(tmpdir(), 'eigenkv-kills-'));
  const store = fileStore(folder);
  const result = {kills, old: 0, new: 0, halfWritten: 0, broken: 0};
  try {
    await store.set('chat', snapshot(0));
    let last = 0; // what is known to be there
    for (let kill = 0; kill < kills; kill++) {
      const {done, begun} = await killed(folder, last + 1, random() * 30);
      const partial = (await readdir(folder)).filter(file => file.endsWith('.partial'));
      if (partial.length > 0) result.halfWritten++;
      for (const file of partial) await rm(join(folder, file));
      const bytes = await store.get('chat');
      const count = bytes && countOf(bytes);
      if (count === undefined || count < Math.max(last, done) || count > begun) result.broken++;
      else if (count === begun) result.new++;
      else result.old++;
      last = count ?? last;
    }
  } finally {
    await rm(folder, {recursive: true, force: true});
  }
  return result;
}

/** Starts a process that saves, kills it that many milliseconds after its first save began, and says how far it was. */
async function killed(
  folder: string,
  first: number,
  afterMs: number,
): Promise<{done: number; begun: number}> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(import.meta.url), 'save', folder, String(first)],
    {stdio: ['ignore', 'pipe', 'inherit']},
  );
  const ended = once(child, 'exit');
  const said = new Map<string, number>();
  let kill: NodeJS.Timeout | undefined;
  for await (const line of createInterface(child.stdout)) {
    const [word, count] = line.split(' ');
    said.set(word!, Number(count));
    kill ??= setTimeout(() => child.kill('SIGKILL'), afterMs);
  }
  await ended;
  return {done: said.get('done') ?? -1, begun: said.get('begins') ?? -1};
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [mode, second, first] = process.argv.slice(2);
  if (mode === 'save') await saveForEver(second!, Number(first));
  else {
    const [kills, seed] = [Number(mode ?? 100), Number(second ?? 1)];
    console.log(`seed ${seed}:`, await killDuringSave(kills, seed));
  }
}
