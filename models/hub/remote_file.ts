import {TransferError} from '../../base/errors.js';

export interface RequestOptions {
  /** The function that talks to the network; default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  readonly signal?: AbortSignal;
  /** Sent to the hub itself, not to the hosts it redirects to. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a server says of a file before it is transferred. */
export interface RemoteFile {
  readonly size: number | undefined;
  readonly hash: ContentHash | undefined;
  /** Names this version of the content. */
  readonly etag: string | undefined;
}

/** What a file's content must have: of large files the SHA-256, of small ones git's name for it, which is a SHA-1. */
export interface ContentHash {
  readonly algorithm: 'SHA-256' | 'git SHA-1';
  readonly hex: string;
}

/** The network or the server failed: what came before is good, and the next call continues it. */
export class ResumableTransferError extends TransferError {}

const maxRedirects = 5;

/** Where a redirect leads. A transfer that began encrypted goes on so. */
function redirectTarget(location: string, from: string): string {
  const target = URL.canParse(location, from) ? new URL(location, from) : undefined;
  const allowed = new URL(from).protocol === 'https:' ? ['https:'] : ['https:', 'http:'];
  if (target !== undefined && allowed.includes(target.protocol)) return target.href;
  throw new TransferError(
    `${from} redirects to ${location}; only https is followed. Check the address of the hub.`,
  );
}

/**
 * Asks for a file's size and hash. The hub states them (`x-linked-size`, `x-linked-etag`) in the redirect to its
 * storage, so redirects are not followed blindly; of files that lie in git itself the etag is git's hash. Undefined where there
 * is no such file (404).
 */
export async function inspectRemote(url: string, options: RequestOptions): Promise<RemoteFile | undefined> {
  let target = url;
  let ofGit = false;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await request(target, {method: 'HEAD', redirect: 'manual'}, options);
    const {status, headers} = response;
    if (status === 404) return undefined;
    ofGit ||= headers.has('x-repo-commit'); // a hub's answer: of other servers forty digits may be the hash of anything
    const location = headers.get('location');
    const redirected = status >= 300 && status < 400 && location !== null;
    const linkedEtag = headers.get('x-linked-etag');
    if (redirected && linkedEtag === null) {
      const next = redirectTarget(location, target);
      if (new URL(next).origin === new URL(url).origin) {
        target = next;
        continue;
      }
    }
    if (!redirected) checkStatus(response, url);
    const etag = cleanEtag(linkedEtag ?? (redirected ? null : headers.get('etag')));
    const isOwn = !redirected && (headers.get('content-encoding') ?? 'identity') === 'identity';
    return {
      etag,
      hash: hashOf(etag, ofGit),
      size: readSize(headers.get('x-linked-size') ?? (isOwn ? headers.get('content-length') : null)),
    };
  }
  throw new TransferError(`${url} redirects more than ${maxRedirects} times; check the address of the hub.`);
}

/**
 * A request of the file's own bytes that follows redirects, to hosts of others without the caller's headers.
 * @throws TransferError where the network fails, a redirect leads from https to something else, or too many follow.
 */
export async function requestFollowing(
  url: string,
  init: RequestInit,
  {headers, ...options}: RequestOptions,
): Promise<Response> {
  let target = url;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const isOwn = new URL(target).origin === new URL(url).origin;
    const given = {...options, ...(isOwn && headers && {headers})};
    const response = await request(target, {...init, redirect: 'manual'}, given);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    target = redirectTarget(location, target);
  }
  throw new TransferError(`${url} redirects more than ${maxRedirects} times; check the address of the hub.`);
}

/**
 * A request of the file's own bytes; a network that fails is a TransferError. It is made twice at most: a connection that was kept
 * from the request before, and that the server has closed since, shows only when it is used.
 */
async function request(url: string, init: RequestInit, options: RequestOptions): Promise<Response> {
  const {fetch = globalThis.fetch, headers, signal} = options;
  // lengths and ranges must count the file's own bytes, not compressed ones
  const allHeaders = {
    'accept-encoding': 'identity',
    ...headers,
    ...(init.headers as Record<string, string> | undefined),
  };
  const ask = () => fetch(url, {...init, headers: allHeaders, ...(signal && {signal})});
  try {
    return await ask().catch((error: unknown) => {
      if (signal?.aborted === true) throw error;
      return ask();
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new ResumableTransferError(
      `${new URL(url).host} cannot be reached. Check the network, or set HF_ENDPOINT to a mirror of the hub.`,
      {cause: error},
    );
  }
}

/** @throws TransferError that says what to do about the status, unless it is a success. */
export function checkStatus({ok, status}: Response, url: string): void {
  if (ok) return;
  const advice =
    status === 401 || status === 403
      ? 'the model is private or gated: accept its terms on the hub and set HF_TOKEN'
      : status === 429 || status >= 500
        ? 'the server is busy or broken: try again later'
        : 'check the names of model, revision and file';
  throw new ResumableTransferError(`${url} answered ${status}: ${advice}.`);
}

function hashOf(etag: string | undefined, ofGit: boolean): ContentHash | undefined {
  if (etag === undefined) return undefined;
  if (/^[0-9a-f]{64}$/.test(etag)) return {algorithm: 'SHA-256', hex: etag};
  return ofGit && /^[0-9a-f]{40}$/.test(etag) ? {algorithm: 'git SHA-1', hex: etag} : undefined;
}

/** A weak etag names no bytes. */
function cleanEtag(etag: string | null): string | undefined {
  if (etag === null || etag.startsWith('W/')) return undefined;
  return etag.replace(/^"|"$/g, '');
}

/** A whole number of bytes from a header. */
export function readSize(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
