import {InvalidArgumentError, TransferError} from '../../base/errors.js';

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
 * Downloads a .gguf file by its address, in a browser. The browser keeps its bytes, on disk if they are many.
 *
 * @param address absolute, or relative to the page.
 * @throws InvalidArgumentError if it is not the address of a .gguf file; TransferError if it cannot be fetched; the signal's reason.
 */
export async function fetchGgufFile(address: string, {onProgress, signal}: FetchOptions): Promise<File> {
  const url = addressOf(address);
  const name = decodeURIComponent(url.pathname.split('/').at(-1)!);
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
function addressOf(given: string): URL {
  const page = 'document' in globalThis ? document.baseURI : globalThis.location.href;
  const url = URL.canParse(given, page) ? new URL(given, page) : undefined;
  const isWebAddress = url !== undefined && /^https?:$/.test(url.protocol);
  if (isWebAddress && url.pathname.endsWith('.gguf')) return url;
  throw new InvalidArgumentError(
    `"${given}" is not the address of a .gguf file, and a browser cannot open folders or hub ids. Give the address of a .gguf file, the ` +
      'File that the user chose (or a list of all parts of a split one), or nothing for the model that comes with the package.',
  );
}
