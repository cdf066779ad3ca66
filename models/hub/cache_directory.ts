import {InvalidArgumentError} from '../../base/errors.js';

/**
 * Where downloaded models are kept (Node only): `$EIGENKV_CACHE`, else `$XDG_CACHE_HOME/eigenkv`, else the platform's
 * place for caches: ~/.cache/eigenkv, ~/Library/Caches/eigenkv (macOS), %LOCALAPPDATA%\eigenkv (Windows).
 * The folder need not exist.
 */
export function modelCacheDirectory(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  return Promise.resolve(directoryOf(environment));
}

function directoryOf(environment: Readonly<Record<string, string | undefined>>): string {
  const {homedir, platform} = process.getBuiltinModule('node:os');
  const {isAbsolute, join, resolve} = process.getBuiltinModule('node:path');
  const {EIGENKV_CACHE: own, XDG_CACHE_HOME: xdg, LOCALAPPDATA: local} = environment;
  if (own !== undefined && own !== '') return resolve(own);
  // the XDG specification says that relative paths are to be ignored
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'eigenkv');
  if (platform() === 'win32' && local !== undefined) return join(local, 'eigenkv');
  return platform() === 'darwin'
    ? join(homedir(), 'Library', 'Caches', 'eigenkv')
    : join(homedir(), '.cache', 'eigenkv');
}

/** The path of a file lying directly in the cache directory, undefined where it is not there. */
export async function cachedModelPath(
  fileName: string,
  {cacheDirectory}: {cacheDirectory?: string} = {},
): Promise<string | undefined> {
  const {basename, join} = process.getBuiltinModule('node:path');
  if (
    fileName === '' ||
    fileName.startsWith('.') ||
    basename(fileName) !== fileName ||
    fileName.includes('\\')
  ) {
    throw new InvalidArgumentError(`"${fileName}" is no plain file name.`);
  }
  const path = join(cacheDirectory ?? (await modelCacheDirectory()), fileName);
  return (await isFile(path)) ? path : undefined;
}

export async function isFile(path: string): Promise<boolean> {
  const {stat} = process.getBuiltinModule('node:fs/promises');
  return stat(path).then(
    stats => stats.isFile(),
    () => false,
  );
}
