import {TransferError} from '../errors.js';
import {runsInNode} from '../optional_package.js';

/** A file of an installed package that a page fetches. */
export interface PackageFile {
  /** The package. */
  readonly name: string;
  /** Its version, for hosts that keep several; undefined for our own package. */
  readonly version?: string;
  /** Of the file, in the package's folder. */
  readonly path: string;
  /**
   * The file as seen from our module: the same text as in `new URL('../../ops/files/...', import.meta.url)`, by which Vite, webpack and others
   * know that it belongs to the bundle.
   */
  readonly reference: string;
  /** The value of that expression; undefined if there is no import.meta.url, as in classic scripts. */
  readonly url: string | undefined;
  /** Its path if it was copied next to the script or the page. */
  readonly copy: string;
}

/** Our own modules, on a host that names packages with their versions (jsDelivr, unpkg, esm.sh). */
const onPackageHost = /^(?<host>.*\/)eigenkv@(?<ours>[^/]+)\//;

/**
 * Where a file may be, the likeliest first. A bundler that knows `new URL('../../ops/files/...', import.meta.url)` gave the file's own address.
 * Otherwise the script's address says more: it is in a node_modules folder (of a server that bundles nothing, or Vite's cache of
 * dependencies), with a host of packages, or in a bundle, which files were copied beside.
 */
export function placesOf({name, version, path, reference, url, copy}: PackageFile): string[] {
  if (url === undefined) return besidePage(copy);
  if (!url.endsWith(`/${reference}`)) return [url];
  const folder = url.slice(0, -reference.length);
  const modules = /^.*\/node_modules\//.exec(folder)?.[0];
  if (modules !== undefined) return [`${modules}${name}/${path}`];
  const {host, ours} = onPackageHost.exec(folder)?.groups ?? {};
  if (host !== undefined) return [`${host}${name}@${version ?? ours}/${path}`];
  return [...new Set([folder + copy, ...besidePage(copy)])];
}

/** Nothing in a worker made of a Blob, whose address has no folder. */
function besidePage(copy: string): string[] {
  const page = 'document' in globalThis ? document.baseURI : globalThis.location.href;
  return URL.canParse(copy, page) ? [new URL(copy, page).href] : [];
}

/**
 * Fetches a file from the first place that has it.
 *
 * @param isRight checks the bytes, since servers can answer with a page of their own for a missing file.
 * @throws TransferError that says of each place what was wrong there.
 */
export async function fetchFrom(
  places: readonly string[],
  isRight: (bytes: Uint8Array) => boolean = () => true,
): Promise<{readonly url: string; readonly bytes: Uint8Array}> {
  const faults: string[] = [];
  for (const url of places) {
    try {
      const response = await fetch(url);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (!response.ok) faults.push(`${url} answers ${response.status}`);
      else if (/^text\/html\b/.test(response.headers.get('content-type') ?? ''))
        faults.push(`${url} answers with a page (HTML)`);
      else if (!isRight(bytes)) faults.push(`${url} answers with something else`);
      else return {url, bytes};
    } catch (error) {
      faults.push(`${url} cannot be fetched (${error instanceof Error ? error.message : String(error)})`);
    }
  }
  throw new TransferError(`${faults.join('; ') || 'there is no place to look at'}.`);
}

/**
 * Reads a file of our own package: from the disk in Node, in a browser by `fetch`.
 *
 * @param url its address relative to the module that needs it; undefined if a bundler renamed it or there is no import.meta.url.
 * @param copy its path in `dist` without the folder of the module: `embedded/config.json`.
 * @param path its path in the package.
 * @throws TransferError if it cannot be read.
 */
export async function readOwnFile(
  url: URL | undefined,
  copy: string,
  path: string,
): Promise<{readonly bytes: Uint8Array; readonly url: string}> {
  if (url?.protocol === 'file:' && runsInNode()) {
    try {
      return {bytes: await process.getBuiltinModule('node:fs/promises').readFile(url), url: url.href};
    } catch (cause) {
      throw new TransferError(`${url.href} cannot be read.`, {cause});
    }
  }
  return fetchFrom(placesOf({name: 'eigenkv', path, reference: copy, copy, url: url?.href}));
}
