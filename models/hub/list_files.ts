import {TransferError} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';
import {type HubId, isFileName} from './hub_id.js';
import {type HubOptions, listUrl, withToken} from './hub_request.js';
import {checkStatus, requestFollowing} from './remote_file.js';

/** Far above real repositories: a page lists 1,000 files in some 300 kB. */
const maxPages = 100;
const maxPageBytes = 2 ** 24;

/**
 * The files of a repository, as the hub lists them: their paths with `/` between folders. Names that could lead out of a folder are
 * left out.
 * @returns undefined if the hub knows no such repository or revision, or no lists at all, as some mirrors.
 * @throws TransferError if network or hub fail, or the answer is no list.
 */
export async function listFiles(
  id: HubId,
  revision: string,
  options: HubOptions,
): Promise<readonly string[] | undefined> {
  const first = listUrl(id, revision, options);
  const request = withToken(options);
  const files: string[] = [];
  let url = first;
  for (let page = 1; ; page++) {
    const response = await requestFollowing(url, {}, request);
    if (response.status === 404) {
      await response.body?.cancel();
      return undefined;
    }
    checkStatus(response, url, request);
    files.push(...pathsOf(await readText(response, url), url));
    const next = nextPage(response.headers.get('link'), url);
    if (next === undefined) return files;
    // the token is for the hub only
    if (new URL(next).origin !== new URL(first).origin || page === maxPages) {
      throw new TransferError(
        `${first} goes on at ${next}: lists of at most ${maxPages} pages are read, all from one host. Name one file: ` +
          `${id.owner}/${id.name}:model.gguf.`,
      );
    }
    url = next;
  }
}

function pathsOf(text: string, url: string): string[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list))
    throw new TransferError(`${url} is no list of files. Check the address of the hub.`);
  return list.flatMap((entry: unknown) => {
    const {type, path} = isRecord(entry) ? entry : {};
    return type === 'file' && typeof path === 'string' && isFileName(path) ? [path] : [];
  });
}

/** The address in `Link: <...>; rel="next"`. */
function nextPage(link: string | null, from: string): string | undefined {
  const target = /<([^<>]+)>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1];
  return target !== undefined && URL.canParse(target, from) ? new URL(target, from).href : undefined;
}

async function readText(response: Response, url: string): Promise<string> {
  const decoder = new TextDecoder();
  const reader = (response.body ?? new Blob().stream()).getReader();
  let text = '';
  for (let size = 0; size <= maxPageBytes;) {
    const {done, value} = await reader.read().catch((error: unknown) => {
      throw new TransferError(`The list of files at ${url} was cut; try again.`, {cause: error});
    });
    if (done) return text + decoder.decode();
    size += value.length;
    text += decoder.decode(value, {stream: true});
  }
  await reader.cancel();
  throw new TransferError(`${url} sends more than ${maxPageBytes} bytes, which is no list of files.`);
}
