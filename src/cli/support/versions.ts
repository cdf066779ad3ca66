import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {EigenkvError} from '../../../base/errors.js';
import {counted} from '../../../base/units.js';

/** The version of the package. Its package.json is three folders up from the source, and four from the build. */
export async function ownVersion(): Promise<string> {
  for (const path of ['../../../package.json', '../../../../package.json']) {
    const text = await readFile(new URL(path, import.meta.url), 'utf8').catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as {version: string}).version;
  }
  throw new EigenkvError('The package.json of eigenkv is missing; install it again.');
}

/** What a report of a fault should name: versions, and how wasm runs here. If it runs fewer threads than it could, a note on stderr says why. */
export async function environmentText(): Promise<string> {
  const [tfjs, wasm] = ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm'];
  const {versions, platform, arch} = process;
  return [
    `eigenkv ${await ownVersion()}`,
    `Node ${versions.node}, ${platform} ${arch}`,
    `${tfjs} ${versionOf(tfjs)}`,
    `${wasm} ${versionOf(wasm)}`,
    // imported late: TensorFlow.js may be missing
    `wasm: ${await wasmText().catch((error: unknown) => (error as Error).message)}`,
  ].join('\n');
}

function versionOf(name: string): string {
  try {
    return (createRequire(import.meta.url)(`${name}/package.json`) as {version: string}).version;
  } catch {
    return 'is not installed';
  }
}

async function wasmText(): Promise<string> {
  const [{startBackend}, {countOf, threadCount}, {hasRelaxedSimd}, {sharedBuildVersions}] = await Promise.all(
    [
      import('./load.js'),
      import('../../../ops/backends/heap_threads.js'),
      import('../../../ops/backends/relaxed_simd.js'),
      import('../../../ops/backends/shared_build.js'),
    ],
  );
  await startBackend({backend: 'wasm', threads: 'all'});
  const [wanted, running] = [countOf('all'), threadCount()];
  const threads =
    running === wanted ? `${counted(running, 'thread')} (all)` : `${running} of ${counted(wanted, 'thread')}`;
  return `${threads}, ${hasRelaxedSimd() ? 'relaxed' : 'plain'} SIMD; threads were tried with ${sharedBuildVersions.join(', ')}`;
}
