import {InvalidArgumentError} from '../../base/errors.js';
import type {DownloadOptions} from './download.js';
import type {HubId} from './hub_id.js';
import type {RequestOptions} from './remote_file.js';

/** The only address of the hub in this package; users of a mirror set HF_ENDPOINT. */
const publicHub = 'https://huggingface.co';

export interface HubOptions extends DownloadOptions {
  /** Default: `hubCacheDirectory()`, which Python shares. */
  readonly cacheDirectory?: string;
  /** The hub's address. Default: `$HF_ENDPOINT`, else the public hub. */
  readonly endpoint?: string;
  /** For private and gated models. Default: `$HF_TOKEN`. */
  readonly token?: string;
  /** Whether to use only files that were downloaded before. Default: whether `$HF_HUB_OFFLINE` is 1. */
  readonly offline?: boolean;
}

export function isOffline({
  offline = /^(1|on|yes|true)$/i.test(process.env['HF_HUB_OFFLINE'] ?? ''),
}: HubOptions): boolean {
  return offline;
}

/** The options of requests to the hub itself, with the token. */
export function withToken<T extends HubOptions>(options: T): T & RequestOptions {
  const {token = process.env['HF_TOKEN']} = options;
  return {
    ...options,
    headers: {...(token && {authorization: `Bearer ${token}`}), ...options.headers},
    isHub: true,
  };
}

export function fileUrl({owner, name}: HubId, revision: string, file: string, options: HubOptions): string {
  return hubUrl([owner, name, 'resolve', revision, ...file.split('/')], options);
}

/** What lists all files of a commit. */
export function listUrl({owner, name}: HubId, revision: string, options: HubOptions): string {
  return `${hubUrl(['api', 'models', owner, name, 'tree', revision], options)}?recursive=true`;
}

/** @throws InvalidArgumentError if the endpoint is no URL. */
function hubUrl(parts: readonly string[], {endpoint}: HubOptions): string {
  const base = endpoint ?? (process.env['HF_ENDPOINT'] || publicHub);
  if (!/^https?:\/\/[^/]/.test(base)) {
    throw new InvalidArgumentError(
      `The hub's address "${base}" is not an http(s) URL; correct HF_ENDPOINT or remove it.`,
    );
  }
  return [base.replace(/\/+$/, ''), ...parts.map(encodeURIComponent)].join('/');
}
