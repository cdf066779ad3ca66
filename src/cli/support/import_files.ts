import {storeNames} from '../../../cache/codecs/as_store.js';
import {keeperNames} from '../../../cache/keepers/as_keeper.js';
import {policyNames} from '../../../cache/policies/as_policy.js';
import {Console} from 'node:console';
import {stat} from 'node:fs/promises';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import {InvalidArgumentError} from '../../../base/errors.js';
import {printNote} from './print.js';

/**
 * Imports modules of the user, which register policies, keepers, codecs and adapters. Their `console` output, then and later, goes to stderr, because stdout
 * is for results.
 * @throws InvalidArgumentError if a file does not exist, or if importing it throws; the message names the file.
 */
export async function importFiles(files: readonly string[]): Promise<void> {
  if (files.length > 0) Object.assign(console, new Console(process.stderr));
  for (const file of files) await importFile(file);
}

async function importFile(file: string): Promise<void> {
  const path = resolve(file);
  const isFile = await stat(path).then(
    found => found.isFile(),
    () => false,
  );
  if (!isFile) {
    throw new InvalidArgumentError(
      `--import = "${file}"; there is no such file. Give an ES module that calls registerKeeper, registerPolicy, registerCodec or registers adapters.`,
    );
  }
  const before = await registered();
  try {
    await import(pathToFileURL(path).href);
  } catch (cause) {
    throw new InvalidArgumentError(`--import = "${file}" cannot be imported: ${reasonOf(cause)}`, {cause});
  }
  if ((await registered()) === before) {
    printNote(
      `${file} registered no policy, keeper, codec or attention adapter here. If it should have, make it import the same copy of eigenkv ` +
        `as this command (${new URL('../../', import.meta.url).href}), as an ES module: .mjs, .mts, or with "type": "module" in its package.json.`,
    );
  }
}

/** The number of registered policies, keepers, codecs and adapters. A module that registers an adapter loads the registry of adapters anyway. */
async function registered(): Promise<number> {
  const {attentionAdapterNames} = await import('../../../models/adapters/index.js');
  return [policyNames(), keeperNames(), storeNames(), attentionAdapterNames()].flat().length;
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if ('code' in cause && cause.code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    return 'this Node cannot read such files. For TypeScript, use Node 22.18 or newer, or npm install tsx and set NODE_OPTIONS="--import tsx".';
  }
  const [first = ''] = cause.message.split('\n');
  const types = cause instanceof SyntaxError ? ' TypeScript needs the extension .mts.' : '';
  return `${cause.name}: ${first} (--verbose shows where.)${types}`;
}
