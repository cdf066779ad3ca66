import {TransferError} from '../../base/errors.js';

export interface RequestOptions {
  /** The function that makes requests. Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  readonly signal?: AbortSignal;
  /** Sent to the hub itself, but not to other hosts that it redirects to. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether the hub is asked, or a mirror of it: then errors say how it is set. Default false: any address. */
  readonly isHub?: boolean;
}

/** What a server says of a file before it is transferred. */
export interface RemoteFile {
  /** False if the server answers 404. */
  readonly exists: boolean;
  /** The commit that the hub took the file from; undefined for servers that are no hub. */
  readonly commit: string | undefined;
  /** What the hub says of a file that does not exist: `EntryNotFound`, `RepoNotFound`, ... */
  readonly errorCode: string | undefined;
  /** In bytes. */
  readonly size: number | undefined;
  readonly hash: ContentHash | undefined;
  /** The name of this version of the content. */
  readonly etag: string | undefined;
}

/** The hash of a file's content: the SHA-256 of a large file, git's object name (a SHA-1) of a small one. */
interface ContentHash {
  readonly algorithm: 'SHA-256' | 'git SHA-1';
  readonly hex: string;
}

/** The network or the server failed. What was received before is good, and the next call continues from there. */
export class ResumableTransferError extends TransferError {}

const maxRedirects = 5;

/**
 * Asks for a file's size and hash. For large files the hub states both (`x-linked-size`, `x-linked-etag`) in the redirect to
 * its storage, so that redirect is not followed. For small files, which git itself stores, the etag is git's hash.
 */
export async function inspectRemote(url: string, options: RequestOptions): Promise<RemoteFile> {
  let commit: string | undefined;
  let isHub = false;
  const note = ({headers}: Response): void => {
    const stated = headers.get('x-repo-commit');
    isHub ||= stated !== null;
    if (stated !== null && /^[0-9a-f]{40}$/.test(stated)) commit ??= stated;
  };
  const response = await requestFollowing(url, {method: 'HEAD'}, options, (redirect, target) => {
    note(redirect);
    return redirect.headers.has('x-linked-etag') || !sameOrigin(target, url);
  });
  note(response);
  const {status, headers} = response;
  const redirected = isRedirect(response);
  if (!redirected && status !== 404) checkStatus(response, url, options);
  const isOwn = !redirected && isPlain(headers);
  const etag = cleanEtag(headers.get('x-linked-etag') ?? (redirected ? null : headers.get('etag')));
  return {
    exists: status !== 404,
    commit,
    errorCode: headers.get('x-error-code') ?? undefined,
    etag,
    hash: hashOf(etag, isHub), // forty digits of another server may be the hash of anything
    size: readSize(headers.get('x-linked-size') ?? (isOwn ? headers.get('content-length') : null)),
  };
}

/**
 * Makes a request and follows redirects, to other hosts without the caller's headers.
 * @param until gives true for a redirect that is not to be followed but returned.
 * @throws TransferError if the network fails, if a redirect leads from https to anything else, or after 5 redirects.
 */
export async function requestFollowing(
  url: string,
  init: RequestInit,
  {headers, ...options}: RequestOptions,
  until: (redirect: Response, target: string) => boolean = () => false,
): Promise<Response> {
  let target = url;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const own = sameOrigin(target, url) ? {...options, headers} : options;
    const response = await request(target, {...init, redirect: 'manual'}, own);
    if (!isRedirect(response)) return response;
    target = redirectTarget(response.headers.get('location')!, target, options);
    if (until(response, target)) return response;
    await response.body?.cancel();
  }
  throw new TransferError(
    `${url} redirects more than ${maxRedirects} times; check the address${ofHub(options)}.`,
  );
}

/** Where a redirect leads. A transfer that began encrypted stays encrypted. */
function redirectTarget(location: string, from: string, options: RequestOptions): string {
  const target = URL.canParse(location, from) ? new URL(location, from) : undefined;
  const allowed = new URL(from).protocol === 'https:' ? ['https:'] : ['https:', 'http:'];
  if (target !== undefined && allowed.includes(target.protocol)) return target.href;
  throw new TransferError(
    `${from} redirects to ${location}; only https is followed. Check the address${ofHub(options)}.`,
  );
}

const ofHub = ({isHub}: RequestOptions) => (isHub === true ? ' of the hub' : '');

/**
 * One request. A kept connection that the server has closed in the meantime fails only when it is used, so a request that
 * fails is made once more.
 */
async function request(
  url: string,
  init: RequestInit,
  {fetch = globalThis.fetch, headers, signal, isHub}: RequestOptions,
): Promise<Response> {
  // lengths and ranges must count the file's own bytes, not compressed ones
  const allHeaders = {
    'accept-encoding': 'identity',
    ...headers,
    ...(init.headers as Record<string, string> | undefined),
  };
  const ask = () => fetch(url, {...init, headers: allHeaders, signal});
  try {
    return await ask().catch((error: unknown) => {
      if (signal?.aborted === true) throw error;
      return ask();
    });
  } catch (error) {
    signal?.throwIfAborted();
    const advice =
      isHub === true
        ? 'Check the network, set HF_ENDPOINT to a mirror of the hub, or set HF_HUB_OFFLINE=1 to use only files that were downloaded before.'
        : 'Check the network and the address.';
    throw new ResumableTransferError(`${new URL(url).host} cannot be reached. ${advice}`, {cause: error});
  }
}

/** @throws TransferError that says what to do about the status, unless it is a success. */
export function checkStatus({ok, status}: Response, url: string, {isHub}: RequestOptions): void {
  if (ok) return;
  const advice =
    status === 401 || status === 403
      ? isHub === true
        ? 'the model is private or gated: accept its terms on the hub and set HF_TOKEN'
        : 'the address is not open to everybody: download the file yourself and give its path'
      : status === 429 || status >= 500
        ? 'the server is busy or broken: try again later'
        : isHub === true
          ? 'check the names of model, revision and file'
          : 'check the address';
  throw new ResumableTransferError(`${url} answered ${status}: ${advice}.`);
}

function isRedirect({status, headers}: Response): boolean {
  return status >= 300 && status < 400 && headers.has('location');
}

/** Whether the body is the file's own bytes, not compressed ones. */
export function isPlain(headers: Headers): boolean {
  return (headers.get('content-encoding') ?? 'identity') === 'identity';
}

const sameOrigin = (a: string, b: string) => new URL(a).origin === new URL(b).origin;

function hashOf(etag: string | undefined, isHub: boolean): ContentHash | undefined {
  if (etag === undefined) return undefined;
  if (/^[0-9a-f]{64}$/.test(etag)) return {algorithm: 'SHA-256', hex: etag};
  return isHub && /^[0-9a-f]{40}$/.test(etag) ? {algorithm: 'git SHA-1', hex: etag} : undefined;
}

/** The text of an etag. A weak one does not name bytes. */
function cleanEtag(etag: string | null): string | undefined {
  if (etag === null || etag.startsWith('W/')) return undefined;
  return etag.replace(/^"|"$/g, '');
}

/** A number of bytes from a header. */
export function readSize(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
