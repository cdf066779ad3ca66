import {rmSync} from 'node:fs';
import {cp, mkdir, mkdtemp, readdir, symlink} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {build} from 'esbuild';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The folders that `tsconfig.build.json` compiles. */
const floors = ['base', 'ops', 'cache', 'layers', 'models', 'src'];

/** What of ops/assembly is JavaScript: its binaries, and what their functions take. All else there is AssemblyScript. */
const javascript = /^ops\/assembly\/kernels(\w*_binary)?\.ts$/;

let built: Promise<string> | undefined;

/**
 * A folder in which programs can import this package as `eigenkv`, as npm installs it, and all packages of this checkout. The sources
 * are compiled as by `npm run build`, without types. A process starts in a third of the time that it takes with tsx. The folder is made
 * once per process and removed when the process ends.
 */
export function projectWithPackage(): Promise<string> {
  built ??= buildProject();
  return built;
}

/** The path of a compiled file of the package. `src/cli/main.js` is the command `eigenkv`. */
export async function builtFile(name: string): Promise<string> {
  return join(await projectWithPackage(), 'node_modules/eigenkv/dist', name);
}

/** The URL of a compiled file of the package, for imports. */
export async function builtUrl(name: string): Promise<string> {
  return pathToFileURL(await builtFile(name)).href;
}

async function buildProject(): Promise<string> {
  const caches = join(root, 'node_modules/.cache');
  await mkdir(caches, {recursive: true});
  const project = await mkdtemp(join(caches, 'eigenkv-test-'));
  process.on('exit', () => rmSync(project, {recursive: true, force: true}));
  const dist = join(project, 'node_modules/eigenkv/dist');
  await build({
    entryPoints: (await Promise.all(floors.map(sourcesOf))).flat(),
    absWorkingDir: root,
    outbase: root,
    outdir: dist,
    format: 'esm',
    platform: 'node',
    target: 'node20',
  });
  await cp(join(root, 'package.json'), join(dist, '../package.json'));
  for (const folder of ['models/embedded', 'profiles']) {
    await symlink(join(root, folder), join(dist, folder), 'junction');
  }
  return project;
}

async function sourcesOf(floor: string): Promise<string[]> {
  const names = await readdir(join(root, floor), {recursive: true});
  return names
    .map(name => `${floor}/${name.replaceAll('\\', '/')}`)
    .filter(
      name => /(?<!\.d)\.ts$/.test(name) && (!name.startsWith('ops/assembly/') || javascript.test(name)),
    );
}
