import {InvalidArgumentError} from '../../base/errors.js';

/**
 * The cache of downloads from the hub, which Python's `huggingface_hub` shares (Node only): `$EIGENKV_CACHE/hub`, else
 * `$HF_HUB_CACHE`, else `$HF_HOME/hub`, else `huggingface/hub` in `$XDG_CACHE_HOME` or ~/.cache. It need not exist.
 */
export function hubCacheDirectory(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const {homedir} = process.getBuiltinModule('node:os');
  const {join, resolve} = process.getBuiltinModule('node:path');
  const {EIGENKV_CACHE: own, HF_HUB_CACHE: hub, HF_HOME: home, XDG_CACHE_HOME: xdg} = environment;
  if (own) return resolve(own, 'hub');
  if (hub) return resolve(hub);
  if (home) return resolve(home, 'hub');
  return join(xdg || join(homedir(), '.cache'), 'huggingface', 'hub');
}

/**
 * The folder of models that did not come from the hub (Node only): `$EIGENKV_CACHE`, else `$XDG_CACHE_HOME/eigenkv`, else the
 * platform's folder for caches: ~/.cache/eigenkv, ~/Library/Caches/eigenkv (macOS), %LOCALAPPDATA%\eigenkv (Windows).
 * It need not exist. Earlier versions kept models of the hub there as well.
 */
export function modelCacheDirectory(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const {homedir, platform} = process.getBuiltinModule('node:os');
  const {isAbsolute, join, resolve} = process.getBuiltinModule('node:path');
  const {EIGENKV_CACHE: own, XDG_CACHE_HOME: xdg, LOCALAPPDATA: local} = environment;
  if (own) return resolve(own);
  // the XDG specification says that relative paths are to be ignored
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'eigenkv');
  if (platform() === 'win32' && local !== undefined) return join(local, 'eigenkv');
  return platform() === 'darwin'
    ? join(homedir(), 'Library', 'Caches', 'eigenkv')
    : join(homedir(), '.cache', 'eigenkv');
}

/** The path of a file that lies directly in `modelCacheDirectory()`, undefined if it is not there. */
export async function cachedModelPath(
  fileName: string,
  {cacheDirectory = modelCacheDirectory()}: {cacheDirectory?: string} = {},
): Promise<string | undefined> {
  const {basename, join} = process.getBuiltinModule('node:path');
  const isPlain = basename(fileName) === fileName && !fileName.includes('\\');
  if (fileName === '' || fileName.startsWith('.') || !isPlain) {
    throw new InvalidArgumentError(`"${fileName}" is not a plain file name.`);
  }
  const path = join(cacheDirectory, fileName);
  return (await isFile(path)) ? path : undefined;
}

export async function isFile(path: string): Promise<boolean> {
  const {stat} = process.getBuiltinModule('node:fs/promises');
  return stat(path).then(
    stats => stats.isFile(),
    () => false,
  );
}
