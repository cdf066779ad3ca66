import {InvalidArgumentError, TransferError} from '../../base/errors.js';
import {namesOfParts} from '../../base/files/split_gguf.js';
import {isHubAddress} from '../hub/index.js';

export interface FetchOptions {
  /** Called as bytes arrive; `total` is what the server announced, at least `done`. */
  readonly onProgress?: (progress: {
    readonly file: string;
    readonly done: number;
    readonly total: number;
  }) => void;
  readonly signal?: AbortSignal;
}

/**
 * Downloads a .gguf file by its address, in a browser, and all parts if it is one part of a split file. The browser keeps their bytes,
 * on disk if they are many.
 *
 * @param address absolute, or relative to the page. What the hub shows of a file (`/blob/`) stands for the file (`/resolve/`).
 * @throws InvalidArgumentError if it is not the address of a .gguf file; TransferError if it cannot be fetched; the signal's reason.
 */
export async function fetchGgufFiles(address: string, options: FetchOptions): Promise<File[]> {
  const {url, name} = addressOf(address);
  const files: File[] = [];
  for (const part of namesOfParts(name) ?? [name]) {
    files.push(await fetchFile(new URL(encodeURIComponent(part) + url.search, url), part, options));
  }
  return files;
}

async function fetchFile(url: URL, name: string, {onProgress, signal}: FetchOptions): Promise<File> {
  const fail = (why: string, cause?: unknown): never => {
    signal?.throwIfAborted();
    throw new TransferError(`${url.href} cannot be fetched: ${why}.`, {cause});
  };
  const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
  const response = await fetch(url, {signal}).catch((error: unknown) => fail(reasonOf(error), error));
  if (!response.ok || response.body === null) return fail(`the server answers ${response.status}`);
  const total = Number(response.headers.get('content-length') ?? 0);
  let done = 0;
  const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(bytes, stream) {
      done += bytes.length;
      onProgress?.({file: name, done, total: Math.max(done, total)});
      stream.enqueue(bytes);
    },
  });
  const blob = await new Response(response.body.pipeThrough(counted))
    .blob()
    .catch((error: unknown) => fail(reasonOf(error), error));
  return new File([blob], name);
}

/** @throws InvalidArgumentError for what is not the address of a .gguf file, such as a hub id. */
function addressOf(given: string): {url: URL; name: string} {
  const page = 'document' in globalThis ? document.baseURI : globalThis.location.href;
  const url = URL.canParse(given, page) ? new URL(given, page) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.pathname.endsWith('.gguf')) {
    if (isHubAddress(url.href))
      url.pathname = url.pathname.replace(/^(\/[^/]+\/[^/]+)\/blob\//, '$1/resolve/');
    return {url, name: decoded(url.pathname.split('/').at(-1)!)};
  }
  throw new InvalidArgumentError(
    `"${given}" is not the address of a .gguf file, and a browser cannot open folders or hub ids. Give the address of a .gguf file, the ` +
      'File that the user chose (or a list of all parts of a split one), or nothing for the model that comes with the package.',
  );
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // it is no percent-encoding
  }
}
