import * as tf from '@tensorflow/tfjs';
import {BackendError, InvalidArgumentError, shown} from '../../base/errors.js';
import {type PackageFile, fetchFrom, placesOf} from '../../base/files/package_file.js';

/** tfjs' builds: without SIMD, with it, and with threads for cross-origin-isolated pages. One of them is fetched. */
export const wasmFileNames = [
  'tfjs-backend-wasm.wasm',
  'tfjs-backend-wasm-simd.wasm',
  'tfjs-backend-wasm-threaded-simd.wasm',
] as const;

export type WasmFileName = (typeof wasmFileNames)[number];

/** The address of each file. */
export type WasmFileMap = {readonly [Name in WasmFileName]: string};

/**
 * Where a page finds tfjs' .wasm files: the folder, or the address of each file. As in tfjs' `setWasmPaths`, except that the last
 * `/` of a folder is optional.
 */
export type WasmPaths = string | WasmFileMap;

/**
 * The paths, a folder with its last `/`.
 *
 * @throws InvalidArgumentError if it is neither text nor a map that names all three files.
 */
export function checkWasmPaths(paths: WasmPaths): WasmPaths {
  const given: unknown = paths;
  if (typeof given === 'string') return /(^|[/\\])$/.test(given) ? given : `${given}/`;
  const map = typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : {};
  const missing = wasmFileNames.filter(name => typeof map[name] !== 'string');
  if (missing.length === 0) return paths;
  throw new InvalidArgumentError(
    `wasmPaths = ${shown(given)}; expected a folder's address, or an object with the address of each of ` +
      `${wasmFileNames.join(', ')}. Missing: ${missing.join(', ')}.`,
  );
}

/** The addresses of all three files under a folder or in a map. */
export function mapOf(paths: WasmPaths): WasmFileMap {
  return typeof paths === 'string' ? mapNames(name => paths + name) : paths;
}

/**
 * In a browser, looks for the file that tfjs will fetch, before tfjs does: if tfjs does not find it, it does not say where it
 * looked, and never starts again on that page.
 *
 * @param paths where to look. Default: where bundlers, package hosts and people put the files.
 * @param version of tfjs-backend-wasm.
 * @throws BackendError that names the addresses that were tried, if none has the file.
 */
export async function findWasmFiles(paths: WasmPaths | undefined, version: string): Promise<WasmFileMap> {
  const wanted = await wantedFile();
  const candidates = paths === undefined ? defaultMaps(version) : [mapOf(paths)];
  const places = candidates.map(map => map[wanted]);
  try {
    const {url} = await fetchFrom(places, isWasm);
    return candidates[places.indexOf(url)]!;
  } catch (cause) {
    throw new BackendError(
      `The 'wasm' backend does not find ${wanted}: ${(cause as Error).message} Copy ` +
        'node_modules/@tensorflow/tfjs-backend-wasm/dist/*.wasm to where the page may fetch them, and name that folder: ' +
        "useBackend('wasm', {wasmPaths: '/that/folder/'}).",
      {cause},
    );
  }
}

/** The build that tfjs selects in this browser, on this page. */
async function wantedFile(): Promise<WasmFileName> {
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  const threads = await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT');
  return wasmFileNames[simd ? (threads ? 2 : 1) : 0];
}

const isWasm = (bytes: Uint8Array) => String(bytes.subarray(0, 4)) === '0,97,115,109'; // "\0asm"

function defaultMaps(version: string): WasmFileMap[] {
  const places = mapNames(name => placesOf(packageFile(name, version)));
  return places[wasmFileNames[0]].map((_, i) => mapNames(name => places[name][i]!));
}

function packageFile(name: WasmFileName, version: string): PackageFile {
  return {
    name: '@tensorflow/tfjs-backend-wasm',
    version,
    path: `dist/${name}`,
    reference: `@tensorflow/tfjs-backend-wasm/dist/${name}`,
    url: bundled?.[name],
    copy: name,
  };
}

/** Each address is written out, since bundlers look for the expression; `try` tells them that the package is optional. */
const bundled = bundledFiles();

function bundledFiles(): WasmFileMap | undefined {
  try {
    return {
      'tfjs-backend-wasm.wasm': new URL(
        '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm',
        import.meta.url,
      ).href,
      'tfjs-backend-wasm-simd.wasm': new URL(
        '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm',
        import.meta.url,
      ).href,
      'tfjs-backend-wasm-threaded-simd.wasm': new URL(
        '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm',
        import.meta.url,
      ).href,
    };
  } catch {
    return undefined; // a script that is no module
  }
}

function mapNames<T>(make: (name: WasmFileName) => T): {[Name in WasmFileName]: T} {
  const [plain, simd, threaded] = wasmFileNames;
  return {[plain]: make(plain), [simd]: make(simd), [threaded]: make(threaded)};
}
